"""Finished runs of `milan-describe`, opened for reading."""

import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from milan_jax._src.api.outputs import Outputs
from milan_jax._src.api.unit_regions import OFF, Regions, regions_of, unit_name
from milan_jax._src.catalog.strip import caption, strip
from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import atomic_path
from milan_jax._src.files.names import shown
from milan_jax._src.notebook import as_html, pairs
from milan_jax._src.records import (
  Description,
  Descriptions,
  ExemplarSet,
  Sign,
  Unit,
  rows_of,
)
from milan_jax._src.runs.workdir import CONFIG, EXEMPLARS, FEATURES, JOURNAL, read_run
from milan_jax._src.store.chosen_exemplars import ChosenExemplars
from milan_jax._src.store.descriptions import read_journal
from milan_jax._src.store.exemplar_sets import open_exemplars
from milan_jax._src.store.exemplar_store import layer_folder
from milan_jax._src.store.feature_store import FeatureStore, open_features

STRIPS = "strips"


class Run:
  """A finished run of `milan-describe`: its units, regions and descriptions.

  Attributes:
    folder: the run directory.
    config: its options, by the names of their flags.

  Example:
    >>> run = milan_jax.open_run("finished")
    >>> run.layers, run.description(run.unit("conv2/3")).unit
    (('conv2',), Unit(layer='conv2', index=3))
  """

  def __init__(self, folder: str | os.PathLike[str]):
    """Opens a run directory; `open_run` does the same.

    Args:
      folder: the run directory.

    Raises:
      UserError: it is not the directory of a finished run.
    """
    self.folder = pathlib.Path(folder)
    # Other folders are refused by the words below, not as ones to write a run into.
    known = read_run(self.folder) if (self.folder / CONFIG).is_file() else None
    if known is None or "milan" not in known["config"]:
      raise UserError(
        f"{folder} does not hold a run of milan-describe: name the folder "
        "that it wrote."
      )
    self.config: dict[str, Any] = known["config"]
    given = self.config.get("exemplars"), self.config.get("features")
    outputs = Outputs(
      self.folder, exemplars=not any(given), features=not given[1], page=False
    )
    if not outputs.are_there():
      raise UserError(f"The run in {folder} is not finished: run its command again.")

  def __repr__(self) -> str:
    return f"Run({str(self.folder)!r}, units={len(self.descriptions)})"

  def _repr_html_(self) -> str:
    facts = {
      "folder": shown(str(self.folder)),
      "network": self.network,
      "captioner": shown(self.captioner),
      "layers": ", ".join(map(shown, self.layers)),
    }
    return str(pairs("Run", facts) + (as_html(self.descriptions) or ""))

  @property
  def network(self) -> str:
    """The network, or the folder of exemplars or features, as it was given."""
    for name in ("features", "exemplars"):
      if self.config.get(name):
        return shown(str(self.config[name]))
    return shown(str(self.config.get("model")))

  @property
  def captioner(self) -> str:
    """The name or folder of the captioner, for `load`."""
    return str(self.config["milan"])

  @functools.cached_property
  def descriptions(self) -> Descriptions:
    """The descriptions of all units, in the order of the run."""
    journal = read_journal(self.folder / JOURNAL)
    return Descriptions(journal, self.exemplars if self.has_exemplars else None)

  @property
  def layers(self) -> tuple[str, ...]:
    """Names of the layers, in the order in which they were described."""
    return tuple(dict.fromkeys(entry.unit.layer for entry in self.descriptions))

  @property
  def has_exemplars(self) -> bool:
    """Whether the regions of the units are at hand."""
    return not self.config.get("features") and self._exemplars_folder.is_dir()

  @functools.cached_property
  def exemplars(self) -> ExemplarSet:
    """The exemplars of the units.

    Raises:
      UserError: the run is of features alone, or its exemplars were removed.
    """
    if self.config.get("features"):
      raise UserError(
        f"{self.folder} is a run of features alone, which have no images; open the run "
        f"that made them ({self.network})."
      )
    if not self.has_exemplars:
      raise UserError(
        f"{self.folder} needs its exemplars in {self._exemplars_folder}, where there "
        "is no folder: put them back, or start where the run was started."
      )
    return open_exemplars(self._exemplars_folder)

  @property
  def _exemplars_folder(self) -> pathlib.Path:
    return pathlib.Path(self.config.get("exemplars") or self.folder / EXEMPLARS)

  @functools.cached_property
  def features(self) -> FeatureStore:
    """The features of the units' regions.

    Raises:
      UserError: they were removed, or are damaged.
    """
    return open_features(self.config.get("features") or self.folder / FEATURES)

  def unit(self, name: str) -> Unit:
    """The unit of a name such as `layer3/17`, or `layer3/17-off` for what lowers it.

    If the unit was described by what lowers it alone, `-off` may be left out.

    Raises:
      UserError: the run has no such unit.
    """
    layer, _, index = name.rpartition("/")
    signs: tuple[Sign, ...] = ("on", "off")
    if index.endswith(OFF):
      index, signs = index.removesuffix(OFF), ("off",)
    if layer not in self.layers:
      raise UserError(
        f"{name!r}: expected LAYER/UNIT of a layer among "
        f"{', '.join(map(shown, self.layers))}."
      )
    if index.isdecimal() and index.isascii():
      for sign in signs:
        unit = Unit(layer, int(index), sign)
        if unit in self._by_unit:
          return unit
    units = [unit_name(unit) for unit in self._by_unit if unit.layer == layer]
    some = ", ".join(map(shown, units[:5])) + (", ..." if len(units) > 5 else "")
    raise UserError(f"{name!r}: there is no such unit; expected one of {some}.")

  def description(self, unit: Unit) -> Description:
    """The description of a unit.

    Raises:
      UserError: the run has no such unit.
    """
    if unit not in self._by_unit:
      raise UserError(f"{self.folder} has no unit {unit_name(unit)!r}.")
    return self._by_unit[unit]

  def regions(self, unit: Unit) -> Regions:
    """The images of a unit's exemplars that count, best first, and their masks."""
    return regions_of(
      self.exemplars, unit, everything=bool(self.config.get("parity", False))
    )

  def exemplars_of(self, units: Sequence[Unit]) -> ExemplarSet:
    """The exemplars of some units of the run."""
    rows = rows_of(self.exemplars, units)
    return ChosenExemplars(
      self.exemplars, {layer: np.array(each) for layer, each in rows.items()}
    )

  def features_of(self, units: Sequence[Unit]) -> FeatureStore:
    """The features of some units of the run."""
    known = {layer: self.features.signed_units(layer) for layer in self.features.layers}
    rows: dict[str, list[int]] = {}
    for unit in units:
      rows.setdefault(unit.layer, []).append(known[unit.layer].index(unit))
    folder = self.config.get("features") or self.folder / FEATURES
    chosen = {layer: np.array(each) for layer, each in rows.items()}
    return FeatureStore(cast(str, folder), chosen)

  def strip(self, unit: Unit) -> bytes:
    """Draws a unit's regions above its description.

    Args:
      unit: a unit of the run.

    Returns:
      A PNG file: outside a region the image is dimmed; the best five are larger.

    Raises:
      UserError: the run has no such unit, or no images.
    """
    where = f"{pathlib.PurePath(self.network).name}: {unit_name(unit)}"
    lines = caption(self.description(unit), where=shown(where))
    return strip(*self.regions(unit), lines)

  @functools.cached_property
  def _by_unit(self) -> dict[Unit, Description]:
    return {entry.unit: entry for entry in self.descriptions}


def open_run(folder: str | os.PathLike[str]) -> Run:
  """Opens the directory of a finished run of `milan-describe`.

  Args:
    folder: the run directory (`--workdir`).

  Raises:
    UserError: it is not such a directory, or the run is not finished.

  Example:
    >>> run = milan_jax.open_run("finished")
    >>> len(run.descriptions)
    8
  """
  if not isinstance(folder, str | os.PathLike):
    raise UserError(f"open_run: expected a folder; found a {type(folder).__name__}.")
  return Run(folder)


def write_strip(workdir: str | os.PathLike[str], name: str) -> pathlib.Path:
  """Writes the strip of a unit into the directory of its finished run.

  Args:
    workdir: the run directory.
    name: the unit, as `Run.unit` reads it.

  Returns:
    The path of the PNG file, below `strips`.

  Raises:
    UserError: the run is not finished, or has no such unit or no images.
  """
  run = open_run(workdir)
  unit = run.unit(name)
  folder = run.folder / STRIPS / layer_folder(run.folder, unit.layer).name
  path = folder / f"{unit_name(unit).rpartition('/')[2]}.png"
  data = run.strip(unit)
  folder.mkdir(parents=True, exist_ok=True)
  with atomic_path(path) as staging:
    staging.write_bytes(data)
  return path
