"""Units for text: photographs with inserted lettering and its masks."""

import importlib.util
import pathlib
import string
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from milan_jax._src.images.folder import FolderImages
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.images.source import UnreadableImageError
from milan_jax._src.lab.evaluation.looks import TEXT_WORDS
from milan_jax._src.records import Unit
from milan_jax._src.store.region_sets import RegionSetWriter
from milan_jax._src.text.judge import Truth

LAYER, K, SIZE = "lettering", 15, 224
_WORDS = (
  *("OPEN", "Market", "Hotel", "STOP", "news", "Coffee", "SALE", "Garden", "Station"),
  *("music", "Bakery", "EXIT", "River", "Letters", "quality", "Museum", "Harbor"),
)
# The masks are blurred like activations, so that their shape does not reveal letters.
_BLUR, _LEVEL = 5.0, 0.3


def truths() -> dict[Unit, Truth]:
  """Returns the truths of the units in a store of lettering."""
  return {
    Unit(LAYER, number): Truth(
      name, frozenset(TEXT_WORDS), (frozenset(TEXT_WORDS),), (name, "text")
    )
    for number, name in enumerate(_KINDS)
  }


def write_lettering(photographs: pathlib.Path, folder: pathlib.Path, seed: int) -> None:
  """Writes a store of regions with one unit for each kind of lettering.

  Args:
    photographs: folder of photographs; they are reused only if there are too few.
    folder: the store to create.
    seed: seeds every random draw.
  """
  source = FolderImages(photographs, Geometry(256, SIZE, fitting="resize-crop"))
  rng = np.random.default_rng([seed, 7])
  order = iter(_forever(len(source), rng))
  with RegionSetWriter(folder, LAYER, K, SIZE, info={"seed": seed}) as writer:
    for unit, (kind, draw) in enumerate(_KINDS.items()):
      rows: list[int] = []
      masks: list[np.ndarray] = []
      while len(rows) < K:
        index = next(order)
        try:
          photograph = source.load(index)
        except UnreadableImageError:
          continue
        pixels, mask = _set_in(photograph, draw, rng)
        name = f"{source.name(index)} with {kind}, {len(rows)}"
        rows.append(writer.image(name, pixels))
        masks.append(mask)
      writer.add(unit, rows, np.stack(masks))


def _forever(count: int, rng: np.random.Generator) -> Iterator[int]:
  for _ in range(1000):
    yield from rng.permutation(count).tolist()


def _set_in(
  photograph: UInt8[np.ndarray, "size size 3"],
  draw: Callable[[ImageDraw.ImageDraw, np.random.Generator], None],
  rng: np.random.Generator,
) -> tuple[UInt8[np.ndarray, "size size 3"], Bool[np.ndarray, "size size"]]:
  ink = Image.new("L", (SIZE, SIZE))
  draw(ImageDraw.Draw(ink), rng)
  alpha = np.asarray(ink, np.float32)[..., None] / 255
  # A color that contrasts with the background, so that the text is legible.
  under = float((photograph * alpha).sum() / max(3 * alpha.sum(), 1))
  base = rng.integers(0, 60, 3) if under > 127 else rng.integers(190, 256, 3)
  pixels = np.round(photograph * (1 - alpha) + base * alpha).astype(np.uint8)
  soft = np.asarray(ink.filter(ImageFilter.GaussianBlur(_BLUR)), np.float32)
  return pixels, soft > _LEVEL * soft.max()


def _font(
  size: int, rng: np.random.Generator
) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
  """Draws a font from those of matplotlib; without matplotlib, uses Pillow's own."""
  spec = importlib.util.find_spec("matplotlib")
  if spec is None or spec.origin is None:
    return ImageFont.load_default(size)
  faces = pathlib.Path(spec.origin).parent / "mpl-data/fonts/ttf"
  names = sorted(path.name for path in faces.glob("DejaVu*.ttf"))
  names = [name for name in names if "Display" not in name]
  return ImageFont.truetype(str(faces / str(rng.choice(names))), size)


def _words(ink: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
  font = _font(int(rng.integers(32, 52)), rng)
  place = (int(rng.integers(4, 50)), int(rng.integers(10, 150)))
  ink.text(place, str(rng.choice(_WORDS)), fill=255, font=font)


def _print(ink: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
  size = int(rng.integers(11, 17))
  font = _font(size, rng)
  left, top = int(rng.integers(4, 60)), int(rng.integers(8, 110))
  for line in range(int(rng.integers(3, 6))):
    words = " ".join(rng.choice(_WORDS, 3)).lower()
    ink.text((left, top + round(1.35 * size) * line), words, fill=255, font=font)


def _numbers(ink: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
  font = _font(int(rng.integers(36, 64)), rng)
  digits = "".join(rng.choice(list(string.digits), int(rng.integers(2, 5))))
  ink.text((int(rng.integers(4, 80)), int(rng.integers(10, 140))), digits, 255, font)


_KINDS = {"words": _words, "small print": _print, "numbers": _numbers}
