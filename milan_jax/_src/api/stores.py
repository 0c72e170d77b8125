"""Opening and writing what is kept on disk."""

import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from milan_jax._src.api.origins import GivenExemplars, GivenFeatures
from milan_jax._src.options.describe import ExemplarOptions
from milan_jax._src.records import Description, ExemplarSet, Unit
from milan_jax._src.store import annotations, original_layout
from milan_jax._src.store.feature_store import FeatureStore


def open_exemplars(
  folder: str | os.PathLike[str],
  *,
  layers: str | None = None,
  units: str | None = None,
) -> ExemplarSet:
  """Opens a folder of exemplars: a milan-jax store, or the original's layout.

  Args:
    folder: the folder.
    layers: names or globs, comma-separated; None for all.
    units: a range `0:64`, a list `3,5,9`, or a file; None for all.

  Raises:
    UserError: the folder holds no exemplars, or no such layer or unit.

  Example:
    >>> exemplars = milan_jax.open_exemplars("runs/mine/exemplars")
    >>> exemplars.layers
    ('conv2',)
  """
  options = ExemplarOptions(folder=os.fspath(folder), layers=layers, units=units)
  return GivenExemplars(options).found


def open_features(
  folder: str | os.PathLike[str],
  *,
  layers: str | None = None,
  units: str | None = None,
) -> FeatureStore:
  """Opens a folder of features, which `Captioner.encode` or a run wrote.

  Args:
    folder: the folder.
    layers: names or globs, comma-separated; None for all.
    units: a range `0:64`, a list `3,5,9`, or a file; None for all.

  Raises:
    UserError: the folder holds no features, or no such layer or unit.

  Example:
    >>> features = milan_jax.open_features("runs/mine/features")
    >>> len(features), features.k
    (8, 5)
  """
  options = ExemplarOptions(features=os.fspath(folder), layers=layers, units=units)
  return GivenFeatures(options).store


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
      `annotations.csv`.

  Raises:
    UserError: the folder exists, or a layer's name cannot be a folder's.

  Example:
    >>> milan_jax.write_original("original", exemplars)
    >>> milan_jax.open_exemplars("original").layers
    ('conv2',)
  """
  original_layout.write_original_layout(folder, exemplars)
  if not isinstance(annotated, Mapping):
    annotated = {each.unit: (each.text,) for each in annotated}
  if annotated:
    annotations.write_annotations(pathlib.Path(folder) / annotations.FILE, annotated)
