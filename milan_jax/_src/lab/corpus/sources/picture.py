"""A picture with a known subject."""

import contextlib
import dataclasses
import functools
import io
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.lab.corpus.sources.picture_names import Name

KINDS = ("cutout", "photograph", "texture")
Load = Callable[[], UInt8[np.ndarray, "height width channels"]]
Read = Callable[[], bytes]
FORMATS = ("PNG", "JPEG", "WEBP")
# Minimum and maximum fraction of visible pixels in a cut-out.
CUTOUT_SHARES = (0.01, 0.9)


@dataclasses.dataclass(frozen=True)
class Picture:
  """One picture, loaded on demand. It can be pickled.

  Attributes:
    key: `package:path`, stable and unique.
    kind: one of `KINDS`; a cut-out has an alpha channel.
    what: an everyday noun, singular if English has one: "duck", "brick wall".
    words: colors or looks that certainly apply; may be empty.
    load: returns the pixels: RGBA of a cut-out (not premultiplied), RGB of others.
    read: returns the bytes of the picture's file; None if there is no file.
    group: equal for near copies (mirrored, recolored, the same subject again), also
      across packages; the split is by group. Defaults to the key.
  """

  key: str
  kind: str
  what: str
  words: tuple[str, ...] = ()
  load: Load = dataclasses.field(compare=False, repr=False, kw_only=True)
  read: Read | None = dataclasses.field(
    default=None, compare=False, repr=False, kw_only=True
  )
  group: str = ""

  def __post_init__(self) -> None:
    if self.kind not in KINDS:
      raise ValueError(f"expected a kind of {KINDS}, found {self.kind!r}")
    if not self.group:
      object.__setattr__(self, "group", self.key)


def digest(picture: Picture) -> str:
  """Returns the hex SHA-256 of the file's bytes, or of the pixels without a file."""
  content = picture.read() if picture.read else picture.load()
  return sha256_of([content])


def named(package: str, path: str, kind: str, name: Name, read: Read) -> Picture:
  """Creates the picture at a path of a package with its table entry."""
  key = f"{package}:{path}"
  load = functools.partial(_pixels, key, kind, read)
  return Picture(
    key, kind, name.what, name.words, load=load, read=read, group=name.group
  )


def _pixels(
  key: str, kind: str, read: Read
) -> UInt8[np.ndarray, "height width channels"]:
  with _opened(read(), key) as image:
    return np.array(image.convert("RGBA" if kind == "cutout" else "RGB"))


def is_cutout(content: bytes, key: str) -> bool:
  """Returns whether a picture's alpha channel cuts out a subject.

  False without an alpha channel, or if it hides nearly nothing or nearly everything.

  Args:
    content: the bytes of the picture's file.
    key: the picture's key, for the error message.

  Raises:
    UserError: if the file is damaged.
  """
  with _opened(content, key) as image:
    if not image.has_transparency_data:
      return False
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
  least, most = CUTOUT_SHARES
  return bool(least <= (alpha > 127).mean() <= most)


@contextlib.contextmanager
def _opened(content: bytes, key: str) -> Iterator[Image.Image]:
  try:
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
      yield image
  except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
    raise UserError(
      f"{key} cannot be decoded ({error}): remove the package's folder and run the "
      "same command again."
    ) from error


def none_found(package: str, folder: str, expected: str) -> UserError:
  """Creates the error for a package that lacks all pictures of its table."""
  return UserError(
    f"{folder} holds none of the expected pictures of {package}: expected "
    f"{expected}. Remove the folder and run the same command again."
  )
