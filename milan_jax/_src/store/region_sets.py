"""Writes exemplar stores with given masks, unit by unit."""

import contextlib
import os
from collections.abc import Hashable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.files.staging import GrowingArray, staged_folder
from milan_jax._src.store.exemplar_store import layer_folder, write_arrays, write_table


class RegionSetWriter:
  """Writes an exemplar store of one layer, unit by unit, in constant memory.

  ```
  with RegionSetWriter(folder, "corpus", k=15, size=224) as writer:
    row = writer.image("cat.jpg", pixels)
    writer.add(0, [row, ...], masks)
  ```

  The store appears when the block ends; if the block raises, nothing is written.

  Args:
    folder: the store to create.
    layer: name of its only layer.
    k: number of regions per unit.
    size: side of the images and masks, in pixels.
    info: the origin of the store, as JSON.
  """

  def __init__(
    self,
    folder: str | os.PathLike[str],
    layer: str,
    k: int,
    size: int,
    *,
    info: Mapping[str, Any] | None = None,
  ):
    self._folder, self._layer, self._k, self._size = folder, layer, k, size
    self._info = info or {}
    self._rows_of: dict[Hashable, int] = {}
    self._units: list[int] = []
    self._image_rows: list[list[int]] = []

  def __enter__(self) -> "RegionSetWriter":
    self._closing = contextlib.ExitStack()
    self._staging = self._closing.enter_context(staged_folder(self._folder))
    inside = layer_folder(self._staging, self._layer)
    inside.mkdir(parents=True)
    byte = np.dtype(np.uint8)
    shape = (self._size, self._size, 3)
    self._images = self._closing.enter_context(
      GrowingArray(self._staging / "images.npy", shape, byte)
    )
    packed = (self._k, -(-self._size * self._size // 8))
    self._masks = self._closing.enter_context(
      GrowingArray(inside / "masks.npy", packed, byte)
    )
    return self

  def image(
    self, key: Hashable, pixels: UInt8[np.ndarray, "size size 3"] | None = None
  ) -> int:
    """Returns the row of an image; adds the image if its key is new.

    Args:
      key: the image's unique name in the store.
      pixels: the image; may be None if the key is known.

    Raises:
      ValueError: if the image has another shape than the store's, or the key is new and
        `pixels` is None.
    """
    if key not in self._rows_of:
      if pixels is None:
        raise ValueError(f"image {key!r} has not been added yet")
      self._images.append(pixels)
      self._rows_of[key] = len(self._rows_of)
    return self._rows_of[key]

  def add(
    self,
    unit_index: int,
    image_rows: Sequence[int] | Int[np.ndarray, "k"],
    masks: Bool[np.ndarray, "k size size"],
  ) -> None:
    """Adds a unit with `k` regions of images that were added before.

    Raises:
      ValueError: if there are not `k` regions, or a row has no image.
    """
    rows = [int(row) for row in image_rows]
    if masks.shape != (self._k, self._size, self._size) or len(rows) != self._k:
      raise ValueError(
        f"expected {self._k} masks of {self._size} x {self._size} and as many rows, "
        f"found masks of shape {masks.shape} and {len(rows)} rows"
      )
    if not all(0 <= row < len(self._rows_of) for row in rows):
      raise ValueError(f"rows {rows} refer to images that were not added")
    self._masks.append(np.packbits(masks.reshape(self._k, -1), axis=-1))
    self._units.append(unit_index)
    self._image_rows.append(rows)

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> bool | None:
    if error is not None:
      return self._closing.__exit__(kind, error, trace)
    with self._closing:
      if not self._units:
        raise UserError(f"{self._folder}: no region was added, so there is no store.")
      write_arrays(
        layer_folder(self._staging, self._layer),
        units=np.array(self._units, np.int64),
        image_rows=np.array(self._image_rows, np.int64),
        dead=np.zeros(len(self._units), bool),
      )
      # The files must be complete before their checksums are computed.
      self._images.close()
      self._masks.close()
      names = [str(key) for key in self._rows_of]
      ids = np.arange(len(names))
      write_table(self._staging, [self._layer], ids, names, self._info)
    return None
