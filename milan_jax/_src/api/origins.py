"""What is described: a folder of features, a directory of exemplars, or a network."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Int

from milan_jax._src.api.collection import find_exemplars
from milan_jax._src.api.identity import of_stored, of_target
from milan_jax._src.errors import UserError
from milan_jax._src.exemplars.shards import check_enough
from milan_jax._src.options.describe import ExemplarOptions
from milan_jax._src.probe.probe_target import ProbeTarget, Selection
from milan_jax._src.probe.unit_selection import select_layers, select_units
from milan_jax._src.records import ExemplarSet
from milan_jax._src.runs.inputs import Identity, Input, Tables
from milan_jax._src.runs.memory import memory_of
from milan_jax._src.store.chosen_exemplars import ChosenExemplars
from milan_jax._src.store.exemplar_sets import open_exemplars
from milan_jax._src.store.feature_store import FeatureStore, open_features


@runtime_checkable
class Origin(Protocol):
  """What is described, looked at as far as that needs no run."""

  @property
  def is_file(self) -> bool:
    """Whether the network is a file or folder, known by its content."""

  @property
  def weights_from(self) -> str:
    """Where the network's weights come from, in words; empty without a network."""

  def identity(self, captioner: Input, tables: Tables) -> Identity:
    """The inputs of the run, by content.

    Args:
      captioner: the first of them.
      tables: of the run directory, which know files.
    """

  def exemplars(
    self, folder: pathlib.Path, job: Mapping[str, Any]
  ) -> ExemplarSet | None:
    """The exemplars; None where there are features in their place.

    Args:
      folder: the run directory.
      job: what the results depend on.
    """


class GivenFeatures:
  """A folder of features of an earlier run.

  Args:
    options: the folder, and its layers and units that are described.

  Raises:
    UserError: if it is not such a folder, or a layer or unit is not in it.
  """

  is_file = False
  weights_from = ""

  def __init__(self, options: ExemplarOptions):
    folder = options.features or ""
    whole = open_features(folder)
    self.store = whole
    if options.layers or options.units:
      rows = _chosen_rows(whole.layers, whole.units_of, options)
      self.store = FeatureStore(folder, rows)

  def identity(self, captioner: Input, tables: Tables) -> Identity:
    """Those of the features and of their units."""
    return of_stored(captioner, self.store, tables)

  def exemplars(self, folder: pathlib.Path, job: Mapping[str, Any]) -> None:
    """None: there are features."""


class GivenExemplars:
  """A directory of exemplars.

  Args:
    options: the directory, and its layers and units that are described.

  Raises:
    UserError: if it is not such a directory, or a layer or unit is not in it.
  """

  is_file = False
  weights_from = ""

  def __init__(self, options: ExemplarOptions):
    folder = options.folder or ""
    whole = open_exemplars(folder)
    self.found: ExemplarSet = whole
    if options.layers or options.units:
      rows = _chosen_rows(
        whole.layers, lambda name: whole.exemplars(name).units, options
      )
      self.found = ChosenExemplars(whole, rows)

  def identity(self, captioner: Input, tables: Tables) -> Identity:
    """Those of the exemplars and of their units."""
    return of_stored(captioner, self.found, tables)

  def exemplars(self, folder: pathlib.Path, job: Mapping[str, Any]) -> ExemplarSet:
    """Those that were given."""
    return self.found


@dataclasses.dataclass(frozen=True, slots=True)
class Probed:
  """A network and what it is shown.

  Attributes:
    target: the two.
    selection: what of it is described.
    options: how exemplars are collected.

  Raises:
    UserError: if there are fewer images than exemplars of a unit, or a batch of them
      does not fit into memory.
  """

  target: ProbeTarget
  selection: Selection
  options: ExemplarOptions

  def __post_init__(self) -> None:
    check_enough(len(self.target.inputs), self.options.k)
    self._check_batch_fits()

  def _check_batch_fits(self) -> None:
    batch = self.options.batch_size * self.target.inputs.blank.nbytes
    memory = memory_of(jax.local_devices(backend="cpu")[0])
    if memory is not None and batch > memory:
      raise UserError(
        f"--probe_batch_size={self.options.batch_size} would take "
        f"{batch / 1e9:,.0f} GB for the images alone, and there are "
        f"{memory / 1e9:,.0f} GB: lower it."
      )

  @property
  def is_file(self) -> bool:
    """Whether the network is a file or folder."""
    return bool(self.target.files)

  @property
  def weights_from(self) -> str:
    """Where the network's weights come from, in words."""
    return self.target.network.weights

  def identity(self, captioner: Input, tables: Tables) -> Identity:
    """Those of the network and its images; a trial batch goes through the network."""
    return of_target(
      self.target,
      self.selection,
      batch_size=self.options.batch_size,
      tables=tables,
      others={"captioner": captioner},
    )

  def exemplars(self, folder: pathlib.Path, job: Mapping[str, Any]) -> ExemplarSet:
    """Those that the one pass over the images finds, unless it was done before."""
    store = find_exemplars(
      self.target, folder, units=self.selection.units, how=self.options, job=job
    )
    return open_exemplars(store)


def _chosen_rows(
  known: tuple[str, ...],
  units_of: Callable[[str], Int[np.ndarray, "units"]],
  options: ExemplarOptions,
) -> dict[str, Int[np.ndarray, "_"]]:
  """Finds the rows, by layer, of the layers and units that the user named."""
  place = options.folder or options.features or ""
  names = select_layers(known, options.layers, place=place) if options.layers else known
  return {name: _rows_of(name, units_of(name), options.units) for name in names}


def _rows_of(
  layer: str, known: Int[np.ndarray, "units"], units: str | None
) -> Int[np.ndarray, "_"]:
  """Finds the rows of the units that the user named."""
  wanted = select_units(units or "", int(known.max()) + 1)
  rows = np.flatnonzero(np.isin(known, wanted))
  if not rows.size:
    raise UserError(f"--units={units}: {layer} has none of them.")
  return rows
