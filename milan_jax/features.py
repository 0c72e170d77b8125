"""Features of the exemplars: each distinct image encoded once, then cheap poolings."""

import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, UInt8

from milan_jax.errors import UserError
from milan_jax.models.encoder import Pyramid, pool
from milan_jax.records import ExemplarSet
from milan_jax.store.atomic import write_json

# Regions pooled in one call: the compiled shape.
REGIONS = 16

Encode = Callable[[UInt8[np.ndarray, "batch height width 3"]], Pyramid]
Progress = Callable[[int, int], None]


@jax.jit
def _pool_one(pyramid, image, masks):
  """Pools regions of one image of a batch."""
  levels = [jax.lax.dynamic_slice_in_dim(level, image, 1) for level in pyramid]
  return pool(tuple(levels), masks[None])[0]


def _regions_by_image(exemplars: ExemplarSet) -> Int[np.ndarray, "regions 4"]:
  """Lists every region as (image row, layer, unit row, slot), ordered by image."""
  tables = []
  for number, layer in enumerate(exemplars.layers):
    rows = exemplars.exemplars(layer).image_rows
    units, slots = np.indices(rows.shape)
    tables.append(
      np.stack([rows, np.full_like(rows, number), units, slots], -1).reshape(-1, 4)
    )
  regions = np.concatenate(tables)
  return regions[np.lexsort(regions.T[::-1])]


def _pool_image(
  exemplars: ExemplarSet,
  pyramid: Pyramid,
  image: int,
  regions: Int[np.ndarray, "regions 4"],
) -> Iterator[tuple[Int[np.ndarray, "4"], Float[np.ndarray, "features"]]]:
  """Yields each region of one image, all of its layers', with its features."""
  for start in range(0, len(regions), REGIONS):
    chunk = regions[start : start + REGIONS]
    masks = [
      exemplars.masks(exemplars.layers[number], own[:, 2], own[:, 3])
      for number in np.unique(chunk[:, 1])
      for own in [chunk[chunk[:, 1] == number]]
    ]
    spare = REGIONS - len(chunk)
    padded = np.pad(np.concatenate(masks), ((0, spare), (0, 0), (0, 0)))
    features = np.asarray(_pool_one(pyramid, image, padded))
    yield from zip(chunk, features[: len(chunk)], strict=True)


def encode_exemplars(
  encode: Encode,
  exemplars: ExemplarSet,
  folder: pathlib.Path,
  *,
  feature_size: int,
  batch_size: int = 16,
  progress: Progress = lambda done, total: None,
) -> dict[str, Float[np.ndarray, "units k features"]]:
  """Encodes the regions of an exemplar set into files, resuming where it stopped.

  Memory holds one batch of images; the features go to memory-mapped files.

  Args:
    encode: gives a backbone's activations for a batch of images of a fixed shape.
    exemplars: the regions.
    folder: where `<number of the layer>.npy` and the progress are written.
    feature_size: size of a region's features.
    batch_size: images per forward pass.
    progress: called with the number of images done and of all.

  Returns:
    A memory-mapped array per layer.

  Raises:
    UserError: the folder holds features of something else.
  """
  folder.mkdir(parents=True, exist_ok=True)
  paths = {name: folder / f"{i}.npy" for i, name in enumerate(exemplars.layers)}
  state_path = folder / "progress.json"
  shapes = {
    layer: [*exemplars.exemplars(layer).image_rows.shape, feature_size]
    for layer in exemplars.layers
  }
  state: dict[str, Any] = {"done": 0, "shapes": shapes}
  if state_path.exists():
    state = json.loads(state_path.read_text())
    if state["shapes"] != shapes:
      raise UserError(
        f"{folder}: expected features of shapes {shapes}, found {state['shapes']}; "
        "name another --workdir."
      )
  else:
    for layer, path in paths.items():
      np.lib.format.open_memmap(path, "w+", np.float32, tuple(shapes[layer]))
    write_json(state_path, state)
  files = {layer: np.load(path, mmap_mode="r+") for layer, path in paths.items()}
  arrays = [files[layer] for layer in exemplars.layers]
  regions = _regions_by_image(exemplars)
  used, begins = np.unique(regions[:, 0], return_index=True)
  ends = np.append(begins[1:], len(regions))
  total = len(used)
  progress(state["done"], total)
  for start in range(state["done"], total, batch_size):
    stop = min(start + batch_size, total)
    images = exemplars.images(used[start:stop])
    spare = batch_size - len(images)
    pyramid = encode(np.pad(images, ((0, spare), (0, 0), (0, 0), (0, 0))))
    for image, place in enumerate(range(start, stop)):
      own = regions[begins[place] : ends[place]]
      for (_, layer, unit, slot), features in _pool_image(
        exemplars, pyramid, image, own
      ):
        arrays[layer][unit, slot] = features
    for array in arrays:
      array.flush()
    state["done"] = stop
    write_json(state_path, state)
    progress(state["done"], total)
  return {layer: np.load(path, mmap_mode="r") for layer, path in paths.items()}
