"""Annotated networks for experiments: read once, and their features computed once."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Int

from milan_jax._src.decoding.features import encode_exemplars
from milan_jax._src.decoding.region_encoder import RegionEncoder
from milan_jax._src.errors import UserError
from milan_jax._src.options.experiments import SetsOptions
from milan_jax._src.options.train import DataOptions
from milan_jax._src.records import ExemplarSet, Unit
from milan_jax._src.runs.progress import bar
from milan_jax._src.store.chosen_exemplars import ChosenExemplars
from milan_jax._src.store.exemplar_sets import set_name
from milan_jax._src.store.joined_exemplars import joined_layer
from milan_jax._src.store.milannotations import networks_named
from milan_jax._src.store.milannotations_archive import fetch_annotated
from milan_jax._src.training.annotated_folder import check_limits, read_set
from milan_jax._src.training.matching import keep_matched

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class ExperimentSet:
  """An annotated network.

  Attributes:
    name: its name, part of the names of its layers among others.
    folder: its exemplars.
    exemplars: exemplars of the units that are used.
    annotations: their annotations.
  """

  name: str
  folder: pathlib.Path
  exemplars: ExemplarSet
  annotations: Mapping[Unit, Sequence[str]]

  def units(self) -> list[Unit]:
    """Returns all units in the order of layers and rows."""
    return [
      unit
      for layer in self.exemplars.layers
      for unit in self.exemplars.exemplars(layer).signed_units()
    ]

  def joined(self, unit: Unit) -> Unit:
    """Returns a unit as it is called among several networks."""
    return dataclasses.replace(unit, layer=joined_layer(self.name, unit.layer))

  def known(self) -> dict[Unit, Sequence[str]]:
    """Returns the annotations by the units' joined names."""
    return {self.joined(unit): self.annotations[unit] for unit in self.units()}


def check_sets(options: SetsOptions) -> None:
  """Checks the names of networks and the limits, before anything is read or downloaded.

  Raises:
    UserError: if a name is unknown, there is none, or a limit is out of its range.
  """
  if not options.data:
    raise UserError(
      "--data: give folders of annotated exemplars, or networks of MILANNOTATIONS, "
      "such as base."
    )
  check_limits(options.min_annotations, options.max_annotations)
  networks_named(options.data, root=options.data_root)


def read_experiment_sets(
  options: SetsOptions, *, seed: int, say: Say
) -> dict[str, ExperimentSet]:
  """Reads annotated networks; networks of MILANNOTATIONS are downloaded if missing.

  Args:
    options: which networks, and what of them.
    seed: seed of the units that are drawn.
    say: called with each line for the user.

  Raises:
    UserError: if a folder is missing or damaged, two have the same name, or a network
      has too few annotated units.
  """
  check_sets(options)
  assert options.data is not None
  limits = DataOptions(
    min_annotations=options.min_annotations, max_annotations=options.max_annotations
  )
  found: dict[str, ExperimentSet] = {}
  for folder in fetch_annotated(options.data, root=options.data_root).values():
    name = set_name(folder)
    if name in found:
      raise UserError(
        f"--data: two folders have the name {name}, which is part of the names of "
        "their layers: rename one."
      )
    one = read_set(folder, None, None, limits, say)
    exemplars = _drawn(one.exemplars, options.units, seed)
    units = {
      unit
      for layer in exemplars.layers
      for unit in exemplars.exemplars(layer).signed_units()
    }
    # The annotations are matched with all exemplars, before units are drawn.
    everyone = {
      unit
      for layer in one.exemplars.layers
      for unit in one.exemplars.exemplars(layer).signed_units()
    }
    kept = keep_matched(one.described, everyone, what="exemplars", say=say)
    found[name] = ExperimentSet(
      name, folder, exemplars, {unit: kept[unit] for unit in kept if unit in units}
    )
  return found


def _drawn(whole: ExemplarSet, number: int | None, seed: int) -> ExemplarSet:
  """Draws units of all layers at random."""
  counts = [len(whole.exemplars(layer).units) for layer in whole.layers]
  if number is None or number >= sum(counts):
    return whole
  chosen = np.sort(np.random.default_rng(seed).permutation(sum(counts))[:number])
  rows: dict[str, Int[np.ndarray, "_"]] = {}
  begin = 0
  for layer, count in zip(whole.layers, counts, strict=True):
    own = chosen[(chosen >= begin) & (chosen < begin + count)] - begin
    if len(own):
      rows[layer] = own
    begin += count
  return ChosenExemplars(whole, rows)


def encode_sets(
  sets: Iterable[ExperimentSet], encoder: RegionEncoder, folder: pathlib.Path
) -> None:
  """Computes the features of each network once, into a folder of each."""
  for one in sets:
    with bar(f"features of {one.name}", "images") as show:
      encode_exemplars(
        encoder.encode,
        one.exemplars,
        folder / one.name,
        feature_size=encoder.feature_size,
        pooling=encoder.pooling,
        progress=show,
      )
