"""Features of the exemplars: each distinct image encoded once, then cheap poolings."""

import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.models.encoder import Pyramid
from milan_jax._src.models.region_features import Pooling, region_features
from milan_jax._src.records import ExemplarSet
from milan_jax._src.store.feature_store import (
  FeatureStore,
  FeatureWriter,
  open_features,
)
from milan_jax._src.store.memory_features import MemoryFeatures

# Regions of an image pooled in one product: the compiled shape. More at once gain
# nothing on a CPU.
REGIONS = 16
# Number of the computation; changes whenever the same regions get other features.
FEATURES_VERSION = 1

Encode = Callable[[UInt8[np.ndarray, "batch height width 3"]], Pyramid]
Progress = Callable[[int, int], None]


@functools.partial(jax.jit, static_argnames="pooling")
def _pool_one(
  pyramid: Pyramid,
  image: Int[Array, ""],
  masks: Bool[Array, "regions height width"],
  pooling: Pooling,
) -> Float[Array, "regions features"]:
  """Pools regions of one image of a batch."""
  levels = [jax.lax.dynamic_slice_in_dim(level, image, 1) for level in pyramid]
  return region_features(tuple(levels), masks[None], pooling)[0]


def _regions_by_image(exemplars: ExemplarSet) -> Int[np.ndarray, "regions 4"]:
  """Lists every region as (image row, layer, unit row, slot), ordered by image.

  Exemplars on which a unit does not fire are left out: no place of them exceeds the
  unit's level, so their masks are empty and their features zero.
  """
  tables = []
  for number, layer in enumerate(exemplars.layers):
    found = exemplars.exemplars(layer)
    rows = found.image_rows
    units, slots = np.indices(rows.shape)
    table = np.stack([rows, np.full_like(rows, number), units, slots], -1)
    tables.append(table[slots < found.num_regions[:, None]])
  regions = np.concatenate(tables)
  return regions[np.lexsort(regions.T[::-1])]


def _checked_masks(
  exemplars: ExemplarSet,
  layer: str,
  rows: Int[np.ndarray, "n"],
  slots: Int[np.ndarray, "n"],
) -> Bool[np.ndarray, "n height width"]:
  """The masks of some exemplars.

  Raises:
    UserError: an exemplar set of the user's gives something else.
  """
  masks = np.asarray(exemplars.masks(layer, rows, slots))
  if masks.dtype != bool or masks.ndim != 3 or len(masks) != len(rows):
    raise UserError(
      f"exemplars: expected masks of bool and shape ({len(rows)}, height, width); "
      f"found {masks.dtype} of shape {masks.shape}."
    )
  return masks


def _checked_images(
  exemplars: ExemplarSet, rows: Int[np.ndarray, "n"]
) -> UInt8[np.ndarray, "n height width 3"]:
  """Some of the distinct images.

  Raises:
    UserError: an exemplar set of the user's gives something else.
  """
  images = np.asarray(exemplars.images(rows))
  is_rgb = images.ndim == 4 and images.shape[3] == 3
  if images.dtype != np.uint8 or not is_rgb or len(images) != len(rows):
    raise UserError(
      f"exemplars: expected images of uint8, from 0 to 255, and shape ({len(rows)}, "
      f"height, width, 3); found {images.dtype} of shape {images.shape}."
    )
  return images


def _pool_image(
  exemplars: ExemplarSet,
  pyramid: Pyramid,
  image: int,
  regions: Int[np.ndarray, "regions 4"],
  pooling: Pooling,
) -> Iterator[tuple[Int[np.ndarray, "4"], Float[np.ndarray, "features"]]]:
  """Yields each region of one image, all of its layers', with its features."""
  for start in range(0, len(regions), REGIONS):
    chunk = regions[start : start + REGIONS]
    masks = [
      _checked_masks(exemplars, exemplars.layers[number], own[:, 2], own[:, 3])
      for number in np.unique(chunk[:, 1])
      for own in [chunk[chunk[:, 1] == number]]
    ]
    padding = REGIONS - len(chunk)
    padded = np.pad(np.concatenate(masks), ((0, padding), (0, 0), (0, 0)))
    features = np.asarray(_pool_one(pyramid, image, padded, pooling))
    yield from zip(chunk, features[: len(chunk)], strict=True)


def encode_exemplars(
  encode: Encode,
  exemplars: ExemplarSet,
  folder: pathlib.Path,
  *,
  feature_size: int,
  pooling: Pooling = "inside",
  batch_size: int = 16,
  progress: Progress = lambda done, total: None,
  about: Mapping[str, Any] | None = None,
) -> FeatureStore:
  """Encodes the regions of an exemplar set into files, resuming where it stopped.

  Memory holds one batch of images.

  Args:
    encode: gives a backbone's activations for a batch of images of a fixed shape.
    exemplars: the regions.
    folder: the feature store to make or to finish.
    feature_size: size of a region's features.
    pooling: what they are.
    batch_size: images per forward pass.
    progress: called with the number of images done and of all.
    about: what the features are of, as `FeatureWriter` takes it.

  Returns:
    The store.

  Raises:
    UserError: the folder holds features of something else, or damaged ones.
  """
  regions = _regions_by_image(exemplars)
  used, begins = np.unique(regions[:, 0], return_index=True)
  ends = np.append(begins[1:], len(regions))
  total = len(used)
  layers = [exemplars.exemplars(name) for name in exemplars.layers]
  with FeatureWriter(
    folder, layers, feature_size=feature_size, total=total, about=about
  ) as writer:
    if writer.done:
      writer.check(regions[: ends[min(writer.done, total) - 1], 1:])
    progress(writer.done, total)
    for start in range(writer.done, total, batch_size):
      stop = min(start + batch_size, total)
      for place, features in _encoded(
        encode, exemplars, regions, begins, range(start, stop), pooling, batch_size
      ):
        writer.write(*place, features)
      writer.save(stop)
      progress(stop, total)
  return open_features(folder)


def encode_in_memory(
  encode: Encode,
  exemplars: ExemplarSet,
  *,
  feature_size: int,
  pooling: Pooling = "inside",
  batch_size: int = 16,
  about: Mapping[str, Any] | None = None,
) -> MemoryFeatures:
  """Encodes the regions of an exemplar set into memory; writes no file.

  Args:
    encode: gives a backbone's activations for a batch of images of a fixed shape.
    exemplars: the regions.
    feature_size: size of a region's features.
    pooling: what they are.
    batch_size: images per forward pass.
    about: what the features are of, as `FeatureWriter` takes it.
  """
  regions = _regions_by_image(exemplars)
  used, begins = np.unique(regions[:, 0], return_index=True)
  layers = [exemplars.exemplars(name) for name in exemplars.layers]
  tables = [
    np.zeros((*layer.image_rows.shape, feature_size), np.float32) for layer in layers
  ]
  for start in range(0, len(used), batch_size):
    batch = range(start, min(start + batch_size, len(used)))
    for (layer, unit, slot), features in _encoded(
      encode, exemplars, regions, begins, batch, pooling, batch_size
    ):
      tables[layer][unit, slot] = features
  return MemoryFeatures(layers, tables, about)


def _encoded(
  encode: Encode,
  exemplars: ExemplarSet,
  regions: Int[np.ndarray, "regions 4"],
  begins: Int[np.ndarray, "images"],
  batch: range,
  pooling: Pooling,
  batch_size: int,
) -> Iterator[tuple[tuple[int, int, int], Float[np.ndarray, "features"]]]:
  """Yields each region of a batch of images: layer, unit's row and slot; features."""
  ends = np.append(begins[1:], len(regions))
  images = _checked_images(exemplars, regions[begins[batch.start : batch.stop], 0])
  padding = batch_size - len(images)
  pyramid = encode(np.pad(images, ((0, padding), (0, 0), (0, 0), (0, 0))))
  for image, place in enumerate(batch):
    own = regions[begins[place] : ends[place]]
    for region, features in _pool_image(exemplars, pyramid, image, own, pooling):
      _, layer, unit, slot = region.tolist()
      yield (layer, unit, slot), features
