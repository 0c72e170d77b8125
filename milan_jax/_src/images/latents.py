"""The inputs of a generator, and the images that it generates from them."""

import pathlib
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.files.npy_files import read_npz
from milan_jax._src.images.sizes import Size
from milan_jax._src.images.source import black

# Images that are generated to look at their values.
_SAMPLE = 4
EXPECTED = (
  "an .npz file with `latents`, floats of shape (N, ...), and for a class-conditional "
  "generator `classes`, integers of shape (N,)"
)


class Latents:
  """The inputs of a generator: records of a `latent` and optionally a `class`.

  Args:
    latents: one per row, float32.
    classes: the class of each latent, if the generator is class-conditional.
    origin: the name of the latents in messages, such as their file.

  Raises:
    UserError: if `latents` is empty, has fewer than 2 dimensions, or is not finite.
  """

  def __init__(
    self,
    latents: Float[np.ndarray, "n ..."],
    classes: Int[np.ndarray, "n"] | None = None,
    origin: str = "latents",
  ):
    if not latents.size or latents.ndim < 2:
      raise UserError(
        f"{origin}: expected latents of shape (N, ...), found {latents.shape}."
      )
    with np.errstate(over="ignore"):
      latents = latents.astype(np.float32)
    if not np.isfinite(latents).all():
      raise UserError(f"{origin}: expected finite numbers, found NaN or infinity.")
    fields: list[Any] = [("latent", np.float32, latents.shape[1:])]
    if classes is not None:
      fields.append(("class", np.int64))
    self._records = np.zeros(len(latents), fields)
    self._records["latent"] = latents
    if classes is not None:
      self._records["class"] = classes

  def __len__(self) -> int:
    return len(self._records)

  @property
  def latent_shape(self) -> tuple[int, ...]:
    """Shape of one latent."""
    return self._records["latent"].shape[1:]

  @property
  def has_classes(self) -> bool:
    """Whether each latent has a class."""
    return "class" in (self._records.dtype.names or ())

  @property
  def blank(self) -> np.ndarray:
    """A latent of zeros, of class 0."""
    return np.zeros((), self._records.dtype)

  def name(self, index: int) -> str:
    """The latent's index, and its class if it has one."""
    of_class = f", class {self._records['class'][index]}" if self.has_classes else ""
    return f"latent {index}{of_class}"

  def load(self, index: int) -> np.ndarray:
    """The latent's record."""
    return self._records[index, ...]

  def sha256(self) -> str:
    """Digest of all records."""
    return sha256_of([self._records.tobytes()])


def open_latents(path: str | pathlib.Path) -> Latents:
  """Reads the latents of an `.npz` file.

  Raises:
    UserError: if the file is missing or does not contain such arrays.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise UserError(f"No file {path}: expected {EXPECTED}.")
  found = read_npz(path)
  latents, classes = found.get("latents"), found.get("classes")
  if latents is None or not np.issubdtype(latents.dtype, np.floating):
    raise UserError(
      f"{path} contains {', '.join(found) or 'nothing'}: expected {EXPECTED}."
    )
  if classes is not None and (
    not np.issubdtype(classes.dtype, np.integer) or classes.shape != latents.shape[:1]
  ):
    raise UserError(
      f"{path}: expected {len(latents)} integer classes, found {classes.dtype} of "
      f"shape {classes.shape}."
    )
  return Latents(latents, classes, origin=str(path))


def range_notice(pictures: "GeneratedImages") -> str:
  """A notice if generated images are all pale; empty if not.

  Images from 0 to 1 that are read as from -1 to 1 have no dark pixel.

  Raises:
    UserError: if all pixels are black, or all are white.
  """
  number = min(_SAMPLE, len(pictures))
  levels = [pictures.load(index) for index in range(number)]
  lowest = min(int(each.min()) for each in levels)
  highest = max(int(each.max()) for each in levels)
  if lowest == highest and lowest in (0, 255):
    raise UserError(
      f"--image_range: all pixels of the first {number} generated images are "
      f"{'white' if lowest else 'black'}: give the values of black and white in the "
      "generator's images, and check its weights for NaN."
    )
  if lowest < 127:
    return ""
  return (
    f"no pixel of the first {number} generated images is dark: if the generator's "
    "images are from 0 to 1, set image_range to 0,1"
  )


class GeneratedImages:
  """The image that a generator makes from each latent, generated on demand.

  Args:
    latents: the generator's inputs.
    make: generates the images of a batch of latents.
    size: size of the images, in pixels.
  """

  def __init__(
    self,
    latents: Latents,
    make: Callable[[np.ndarray], UInt8[np.ndarray, "batch height width 3"]],
    size: Size,
  ):
    self._latents = latents
    self._make = make
    self._size = size
    # A model is not necessarily thread-safe.
    self._lock = threading.Lock()

  def __len__(self) -> int:
    return len(self._latents)

  @property
  def size(self) -> Size:
    """Size of every image, in pixels."""
    return self._size

  @property
  def blank(self) -> UInt8[np.ndarray, "height width 3"]:
    """A black image."""
    return black(self._size)

  def name(self, index: int) -> str:
    """The latent's index, and its class if it has one."""
    return self._latents.name(index)

  def load(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
    """The image, generated in a batch of one, so that it depends on no other latent."""
    with self._lock:
      image: np.ndarray = self._make(self._latents.load(index)[None])[0]
    return image
