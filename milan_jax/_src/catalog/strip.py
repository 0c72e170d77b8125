"""One unit's regions and description as a picture."""

import dataclasses
import functools
import io
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw, ImageFont

from milan_jax._src.catalog.regions import GAP, GAP_GRAY, tile
from milan_jax._src.notebook import confidence_text
from milan_jax._src.records import Description

# The best regions are large, in the first row; the others fill rows below it. Both
# kinds of rows have the same width, in pixels.
LARGE, LARGE_ACROSS = 226, 5
SMALL, SMALL_ACROSS = 112, 10
WIDTH = LARGE_ACROSS * (LARGE + GAP) - GAP
assert WIDTH == SMALL_ACROSS * (SMALL + GAP) - GAP

_MARGIN = 16
_INK, _FAINT, _LOW, _PAPER = (32, 33, 36), (95, 99, 104), (176, 96, 0), (255, 255, 255)
# No font has a glyph for this code, so it is drawn as a missing one.
_NO_CHARACTER = "\uffff"
_SAMPLE = 24
# A confidence below this is drawn in `_LOW`, as on the page.
_SURE = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
  """A line of a strip's caption.

  Attributes:
    text: its text; wrapped where it is too wide.
    size: height of the letters, in pixels.
    color: RGB.
  """

  text: str
  size: int
  color: tuple[int, int, int] = _INK


def caption(entry: Description, *, where: str) -> list[Line]:
  """Returns the lines below a unit's regions.

  Args:
    entry: the unit's description.
    where: the network and the unit, in words.
  """
  lines = [Line(where, 18, _FAINT)]
  if entry.dead:
    return [*lines, Line("Never varies", 30, _FAINT)]
  mark = "off: " if entry.unit.sign == "off" else ""
  lines.append(Line(mark + entry.text, 30, _FAINT if entry.guess else _INK))
  facts = []
  if entry.confidence is not None:
    sure = confidence_text(entry.confidence)
    guess = f"best guess: “{entry.guess}”, {sure}"
    facts.append(guess if entry.guess else f"confidence {sure}")
  if entry.fires is not None and entry.fires != entry.images:
    facts.append(f"fires on {entry.fires:,} of {entry.images or 0:,} images")
  if facts:
    is_low = entry.confidence is not None and entry.confidence < _SURE
    lines.append(Line(" · ".join(facts), 18, _LOW if is_low else _FAINT))
  return lines


def strip(
  images: UInt8[np.ndarray, "k height width 3"],
  masks: Bool[np.ndarray, "k height width"],
  lines: Sequence[Line],
) -> bytes:
  """Draws regions, the best ones large, above a caption.

  Args:
    images: the whole images, best first.
    masks: the region of each.
    lines: the caption.

  Returns:
    A PNG file, `WIDTH` pixels wide.
  """
  rows = list(_rows(images, masks))
  text = _text(lines)
  height = sum(len(each) + GAP for each in rows) + text.height
  whole = Image.new("RGB", (WIDTH, height), (GAP_GRAY,) * 3)
  top = 0
  for each in rows:
    whole.paste(Image.fromarray(each), (0, top))
    top += len(each) + GAP
  whole.paste(text, (0, top))
  buffer = io.BytesIO()
  whole.save(buffer, "PNG", optimize=True)
  return buffer.getvalue()


def row(
  images: UInt8[np.ndarray, "k height width 3"],
  masks: Bool[np.ndarray, "k height width"],
  size: int = SMALL,
) -> bytes:
  """Draws regions in one row of tiles of `size` pixels, without text, as a PNG file."""
  buffer = io.BytesIO()
  drawn = _row(images, masks, size, len(images))
  Image.fromarray(drawn).save(buffer, "PNG", optimize=True)
  return buffer.getvalue()


def _rows(
  images: UInt8[np.ndarray, "k height width 3"],
  masks: Bool[np.ndarray, "k height width"],
) -> Iterator[UInt8[np.ndarray, "_ {WIDTH} 3"]]:
  yield _row(images[:LARGE_ACROSS], masks[:LARGE_ACROSS], LARGE, LARGE_ACROSS)
  for start in range(LARGE_ACROSS, len(images), SMALL_ACROSS):
    some = slice(start, start + SMALL_ACROSS)
    yield _row(images[some], masks[some], SMALL, SMALL_ACROSS)


def _row(
  images: UInt8[np.ndarray, "k height width 3"],
  masks: Bool[np.ndarray, "k height width"],
  size: int,
  across: int,
) -> UInt8[np.ndarray, "{size} _ 3"]:
  step = size + GAP
  drawn = np.full((size, across * step - GAP, 3), GAP_GRAY, np.uint8)
  for place, (image, mask) in enumerate(zip(images, masks, strict=True)):
    drawn[:, place * step : place * step + size] = tile(image, mask, size)
  return drawn


def _text(lines: Sequence[Line]) -> Image.Image:
  """Draws lines of text, wrapped at the strip's width."""
  wrapped = [
    Line(part, line.size, line.color) for line in lines for part in _wrapped(line)
  ]
  spacing = 8
  height = sum(line.size + spacing for line in wrapped) + 2 * _MARGIN
  image = Image.new("RGB", (WIDTH, height), _PAPER)
  draw = ImageDraw.Draw(image)
  top = _MARGIN
  for line in wrapped:
    draw.text((_MARGIN, top), line.text, fill=line.color, font=_font(line.size))
    top += line.size + spacing
  return image


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
  # Pillow's own font: the same on every machine.
  return ImageFont.load_default(size)


def drawable(text: str) -> str:
  """Replaces characters that the font lacks by their codes, such as `[U+00E9]`.

  The font has the letters of English alone; it would draw a box for any other.
  """
  return "".join(
    each if each.isspace() or _has_glyph(each) else f"[U+{ord(each):04X}]"
    for each in unicodedata.normalize("NFC", text)
  )


@functools.cache
def _has_glyph(character: str) -> bool:
  drawn = _font(_SAMPLE).getmask(character)
  box = _font(_SAMPLE).getmask(_NO_CHARACTER)
  return (drawn.size, bytes(drawn)) != (box.size, bytes(box))


def _wrapped(line: Line) -> Iterator[str]:
  """Splits a line at spaces, and words that are too wide anywhere."""
  font, limit = _font(line.size), WIDTH - 2 * _MARGIN
  left = ""
  for word in drawable(line.text).split():
    joined = f"{left} {word}".strip()
    if font.getlength(joined) <= limit:
      left = joined
      continue
    if left:
      yield left
    while font.getlength(word) > limit:
      fits = max(
        number
        for number in range(1, len(word))
        if font.getlength(word[:number]) <= limit
      )
      yield word[:fits]
      word = word[fits:]
    left = word
  yield left
