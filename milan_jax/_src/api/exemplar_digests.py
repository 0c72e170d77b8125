"""Digests by which the regions of some exemplars are recognized."""

import pathlib
from collections.abc import Iterator

import numpy as np

from milan_jax._src.files.digests import sha256_of, sha256_of_file
from milan_jax._src.records import ExemplarSet, LayerExemplars
from milan_jax._src.store.exemplar_store import META


def digest_of(exemplars: ExemplarSet) -> str:
  """Identifies the regions: pages and features of others are made again or refused."""
  parts: list[str | np.ndarray] = []
  for layer in exemplars.layers:
    found = exemplars.exemplars(layer)
    arrays = (found.units, found.image_ids, found.activations, found.thresholds)
    parts += [layer, *(array for array in arrays if array is not None)]
    if found.activations is None:  # nothing else depends on what is seen
      parts += _digests_of_regions(exemplars, found)
  return sha256_of(parts)


def _digests_of_regions(exemplars: ExemplarSet, found: LayerExemplars) -> Iterator[str]:
  """Digests of the images and masks of a layer, or of a store's own digests."""
  folder = getattr(exemplars, "folder", None)
  if folder is not None and (pathlib.Path(folder) / META).is_file():
    yield sha256_of_file(pathlib.Path(folder) / META)
    return
  units, k = found.image_rows.shape
  for row in range(units):
    masks = exemplars.masks(found.layer, np.full(k, row), np.arange(k))
    yield sha256_of([exemplars.images(found.image_rows[row]), masks])
