"""The text of strips: what the font lacks is written as its code."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from milan_jax._src.catalog import strip
from milan_jax._src.records import Description, Unit


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("Dogs, 97% · “cats”…", "Dogs, 97% · “cats”…"),
    ("caf\u00e9", "caf[U+00E9]"),
    ("cafe\u0301", "caf[U+00E9]"),  # the same letter as two characters
    ("\u6f22\u5b57 layer", "[U+6F22][U+5B57] layer"),
    ("\U0001f600", "[U+1F600]"),
    ("\ufffd", "[U+FFFD]"),
    ("", ""),
  ],
)
def test_what_the_font_lacks_is_its_code(text, expected):
  assert strip.drawable(text) == expected


def _text_of(lines):
  images = np.zeros((1, 8, 8, 3), np.uint8)
  png = strip.strip(images, np.ones((1, 8, 8), bool), lines)
  with Image.open(io.BytesIO(png)) as image:
    return np.asarray(image.convert("L"))[strip.LARGE + strip.GAP :]


def test_a_strip_draws_codes_and_no_boxes():
  """The pixels are those of the codes, drawn by Pillow alone."""
  drawn = _text_of([strip.Line("caf\u00e9 \u6f22", 30, (0, 0, 0))])
  expected = Image.new("L", (strip.WIDTH, len(drawn)), 255)
  ink = ImageDraw.Draw(expected)
  font = ImageFont.load_default(30)
  ink.text((16, 16), "caf[U+00E9] [U+6F22]", fill=0, font=font)
  np.testing.assert_array_equal(drawn < 128, np.asarray(expected) < 128)


def test_a_long_word_of_missing_characters_is_wrapped_within_the_strip():
  drawn = _text_of([strip.Line("\u6f22" * 60, 30)])
  columns = np.flatnonzero((drawn < 128).any(0))
  assert columns.min() >= 16 and columns.max() <= strip.WIDTH - 16
  assert len(drawn) > 4 * 30


@pytest.mark.parametrize(
  ("confidence", "guess", "expected"),
  [
    (0.9989, None, "confidence >99%"),
    (0.994, None, "confidence 99%"),
    (0.0031, "Dogs", "best guess: “Dogs”, <1%"),
    (0.41, "Dogs", "best guess: “Dogs”, 41%"),
  ],
)
def test_a_confidence_is_never_certain(confidence, guess, expected):
  entry = Description(
    Unit("a", 0), "Cats", -1.0, -1.0, confidence=confidence, guess=guess
  )
  lines = strip.caption(entry, where="net, a/0")
  assert [line.text for line in lines] == ["net, a/0", "Cats", expected]
