"""Opening and writing what is kept on disk."""

import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from milan_jax._src.api.origins import GivenExemplars, GivenFeatures
from milan_jax._src.api.probing import joined
from milan_jax._src.decoding.scoring import check_texts
from milan_jax._src.errors import UserError
from milan_jax._src.options.describe import ExemplarOptions
from milan_jax._src.records import Description, ExemplarSet, Unit
from milan_jax._src.runs.workdir import CONFIG, EXEMPLARS, FEATURES
from milan_jax._src.store import annotations, original_layout
from milan_jax._src.store.exemplar_sets import set_name as set_name
from milan_jax._src.store.feature_store import FeatureStore
from milan_jax._src.store.given_regions import GivenRegions


def open_exemplars(
  folder: str | os.PathLike[str],
  *,
  layers: str | Iterable[str] | None = None,
  units: str | Iterable[int] | None = None,
) -> ExemplarSet:
  """Opens a folder of exemplars: a milan-jax store, or the original's layout.

  Args:
    folder: the folder.
    layers: names or globs, a list or comma-separated; None for all.
    units: indices, or a text: a range `0:64`, a list `3,5,9`, or a file; None for all.

  Raises:
    UserError: the folder holds no exemplars, or no such layer or unit.

  Example:
    >>> exemplars = milan_jax.open_exemplars("runs/mine/exemplars")
    >>> exemplars.layers
    ('conv2',)
  """
  check_folder("open_exemplars", folder)
  options = ExemplarOptions(
    folder=_store_in(folder, EXEMPLARS),
    layers=joined("layers", layers),
    units=joined("units", units),
  )
  return GivenExemplars(options).found


def open_features(
  folder: str | os.PathLike[str],
  *,
  layers: str | Iterable[str] | None = None,
  units: str | Iterable[int] | None = None,
) -> FeatureStore:
  """Opens a folder of features, which `Captioner.encode` or a run wrote.

  Args:
    folder: the folder.
    layers: names or globs, a list or comma-separated; None for all.
    units: indices, or a text: a range `0:64`, a list `3,5,9`, or a file; None for all.

  Raises:
    UserError: the folder holds no features, or no such layer or unit.

  Example:
    >>> features = milan_jax.open_features("runs/mine/features")
    >>> len(features), features.k
    (8, 5)
  """
  check_folder("open_features", folder)
  options = ExemplarOptions(
    features=_store_in(folder, FEATURES),
    layers=joined("layers", layers),
    units=joined("units", units),
  )
  return GivenFeatures(options).store


def from_regions(
  images: np.ndarray,
  masks: np.ndarray,
  *,
  layer: str = "regions",
) -> ExemplarSet:
  """Makes exemplars of given images and masks, in memory.

  Args:
    images: RGB images of each unit, best first: uint8, `units k height width 3`.
    masks: the region of each: bool, `units k height width`. An empty one counts as a
      region that shows nothing; a unit needs one that is not.
    layer: what to call the layer of the units.

  Raises:
    UserError: the arrays do not fit together, or a unit has no region.

  Example:
    >>> masks = np.zeros((1, 5, 32, 32), bool)
    >>> masks[:, :, 8:24, 8:24] = True
    >>> regions = milan_jax.from_regions(images[None, :5], masks)
    >>> [d.unit for d in captioner.describe(captioner.encode(regions))]
    [Unit(layer='regions', index=0)]
  """
  return GivenRegions(images, masks, layer)


def write_original(
  folder: str | os.PathLike[str],
  exemplars: ExemplarSet,
  annotated: Mapping[Unit, Sequence[str]] | Iterable[Description] = (),
) -> None:
  """Writes exemplars in the original's layout: `LAYER/images.npy`, `LAYER/masks.npy`.

  Args:
    folder: where to write; it must not exist.
    exemplars: what to write.
    annotated: descriptions of units, of people or of a captioner: they are written to
      `annotations.csv`. Those that were withheld, as "No clear pattern", are left out.

  Units that are "off" are left out: the layout has no place for them.

  Raises:
    UserError: the folder exists, all units are "off", a layer's name cannot be a
      folder's, or a description is of a unit that is not among the exemplars.

  Example:
    >>> milan_jax.write_original("original", exemplars)
    >>> milan_jax.open_exemplars("original").layers
    ('conv2',)
  """
  check_exemplars(exemplars)
  folder = folder_to_write("folder", folder)
  if not isinstance(annotated, Mapping):
    annotated = checked_descriptions(annotated)
    annotated = {each.unit: (each.text,) for each in annotated if each.guess is None}
  else:
    check_texts(annotated)
  check_units(exemplars, annotated)
  original_layout.write_original_layout(folder, exemplars)
  kept = {unit: texts for unit, texts in annotated.items() if unit.sign == "on"}
  if kept:
    annotations.write_annotations(folder / annotations.FILE, kept)


def check_folder(name: str, folder: object) -> None:
  """Raises UserError if what a function was given is not a path."""
  if not isinstance(folder, str | os.PathLike):
    raise UserError(f"{name}: expected a folder; found a {type(folder).__name__}.")


def folder_to_write(name: str, folder: str | os.PathLike[str]) -> pathlib.Path:
  """The path of a folder that exists or may be made.

  Raises:
    UserError: it is not a path, it is or lies under a file, or nothing may be written
      there.
  """
  check_folder(name, folder)
  path = pathlib.Path(folder)
  there = next(filter(_can_be_seen, (path, *path.absolute().parents)))
  if not there.is_dir():
    where = f"{path} is" if there == path else f"{there}, above {path}, is"
    raise UserError(f"{name}: {where} a file; expected a folder or a new name.")
  if not os.access(there, os.W_OK | os.X_OK):
    raise UserError(
      f"{name}: nothing may be written in {there}: choose another folder."
    )
  return path


def _can_be_seen(path: pathlib.Path) -> bool:
  try:
    return path.exists()
  except PermissionError:
    return False


def check_exemplars(exemplars: object) -> None:
  """Raises UserError if these are not exemplars."""
  if not isinstance(exemplars, ExemplarSet):
    raise UserError(
      "exemplars: expected what milan_jax.collect or milan_jax.open_exemplars returns; "
      f"found a {type(exemplars).__name__}."
    )


def checked_descriptions(descriptions: object) -> list[Description]:
  """Descriptions as a list.

  Raises:
    UserError: they are none.
  """
  expected = "descriptions: expected what captioner.describe returns"
  if not isinstance(descriptions, Iterable) or isinstance(descriptions, str | Mapping):
    raise UserError(f"{expected}; found a {type(descriptions).__name__}.")
  found = list(descriptions)
  for each in found:
    if not isinstance(each, Description):
      raise UserError(f"{expected}; found {each!r} among them.")
  return found


def check_units(exemplars: ExemplarSet, units: Iterable[Unit]) -> None:
  """Raises UserError if a unit is not among some exemplars."""
  known = {
    layer: set(exemplars.exemplars(layer).signed_units()) for layer in exemplars.layers
  }
  for unit in units:
    if unit not in known.get(unit.layer, ()):
      name = f"{unit.layer} {unit.index}" + (" (off)" if unit.sign == "off" else "")
      raise UserError(
        f"descriptions: {name} is not among the exemplars, which "
        f"are of {', '.join(exemplars.layers)}."
      )


def _store_in(folder: str | os.PathLike[str], kind: str) -> str:
  """The folder, unless it is the run directory around it."""
  inside = pathlib.Path(folder) / kind
  if (pathlib.Path(folder) / CONFIG).is_file() and inside.is_dir():
    raise UserError(f"{folder} is a run directory: open {inside}.")
  return os.fspath(folder)
