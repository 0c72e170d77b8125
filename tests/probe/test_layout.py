import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.probe.layout import (
  Layout,
  guess_layout,
  matching_layouts,
  parse_layout,
  parse_layouts,
  to_nhwc,
)
from milan_jax._src.probe.readings import layouts_of, read_shapes


def grid(batch=2, side=4, units=3):
  """Values that encode their position: 100 x image + 10 x row + column."""
  images, rows, columns = np.ogrid[:batch, :side, :side]
  maps = (100 * images + 10 * rows + columns).astype(np.float32)
  return np.repeat(maps[..., None], units, axis=3)


def test_four_axes():
  values = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).astype(np.float32)
  maps = to_nhwc(values, "a", Layout("NCHW"), batch=2)
  assert maps.shape == (2, 4, 5, 3)
  assert maps[1, 2, 4, 0] == values[1, 0, 2, 4]
  assert np.shares_memory(maps, values)
  assert to_nhwc(values, "a", Layout("NHWC"), batch=2) is values


def test_a_vector_has_one_place():
  values = np.arange(6, dtype=np.float32).reshape(2, 3)
  maps = to_nhwc(values, "a", Layout("NC"), batch=2)
  assert maps.shape == (2, 1, 1, 3)
  np.testing.assert_array_equal(maps[:, 0, 0], values)


@pytest.mark.parametrize("special", [0, 1, 2, 5])
@pytest.mark.parametrize(
  ("axes", "order"), [("NLC", (0, 1, 2)), ("LNC", (1, 0, 2)), ("NCL", (0, 2, 1))]
)
def test_tokens_become_a_square_without_the_special_ones(special, axes, order):
  patches = grid().reshape(2, 16, 3)
  tokens = np.concatenate([np.full((2, special, 3), -1, np.float32), patches], axis=1)
  array = tokens.transpose(order)
  maps = to_nhwc(array, "a", Layout(axes, special=special), batch=2)
  np.testing.assert_array_equal(maps, grid())
  assert guess_layout(tokens.shape, 2, convolution="NCHW", patches=16) == Layout(
    "NLC", special=special
  )


def test_one_token_alone_and_a_grid_that_is_no_square():
  tokens = np.arange(2 * 7 * 3).reshape(2, 7, 3).astype(np.float32)
  alone = to_nhwc(tokens, "a", parse_layout("NLC:token=0"), batch=2)
  np.testing.assert_array_equal(alone, tokens[:, :1, None])
  layout = parse_layout("NLC:special=1:grid=2x3")
  maps = to_nhwc(tokens, "a", layout, batch=2)
  assert maps.shape == (2, 2, 3, 3)
  np.testing.assert_array_equal(maps[:, 1, 2], tokens[:, 6])


@pytest.mark.parametrize("shift", [0, 1])
def test_windows_are_put_back_where_they_were_cut(shift):
  whole = grid(side=6)
  # The windows of a Swin transformer: rolled up and left, then split into 2 x 2
  # squares.
  rolled = np.roll(whole, (-shift, -shift), (1, 2))
  windows = np.stack(
    [
      rolled[image, row : row + 2, column : column + 2].reshape(4, 3)
      for image in range(2)
      for row in (0, 2, 4)
      for column in (0, 2, 4)
    ]
  )
  layout = parse_layout(f"windows:side=2:shift={shift}")
  np.testing.assert_array_equal(to_nhwc(windows, "a", layout, batch=2), whole)
  square = windows.reshape(18, 2, 2, 3)
  np.testing.assert_array_equal(to_nhwc(square, "a", layout, batch=2), whole)


def test_windows_lose_their_padding():
  whole = grid(side=3)
  padded = np.pad(whole, ((0, 0), (0, 1), (0, 1), (0, 0)))
  windows = padded.reshape(2, 2, 2, 2, 2, 3).transpose(0, 1, 3, 2, 4, 5)
  windows = windows.reshape(8, 4, 3)
  layout = parse_layout("windows:side=2:grid=3x3")
  np.testing.assert_array_equal(to_nhwc(windows, "a", layout, batch=2), whole)


@pytest.mark.parametrize(
  ("shape", "layout", "message"),
  [
    ((3,), "NCHW", r"Layer a returns an array of shape \(3,\)"),
    ((2, 2, 3, 4, 5), "NCHW", "cannot be read as NCHW"),
    ((2, 16, 3), "NLC:special=1", "cannot be read as NLC:special=1"),
    ((2, 16, 3), "NC", "cannot be read as NC"),
    ((3, 4, 4, 5), "NHWC", "for a batch of 2"),
    ((9, 4, 3), "windows", "cannot be read as windows"),
    ((2, 1, 3), "NLC:token=1", "cannot be read"),
  ],
)
def test_what_does_not_fit(shape, layout, message):
  with pytest.raises(UserError, match=message):
    to_nhwc(np.zeros(shape, np.float32), "a", parse_layout(layout), batch=2)


@pytest.mark.parametrize(
  ("shape", "guess"),
  [
    ((2, 8, 14, 14), "NCHW"),
    ((2, 14, 14, 8), "NHWC"),
    ((2, 14, 14, 14), "NCHW"),
    ((2, 8, 7, 9), "NCHW"),
    ((2, 197, 8), "NLC:special=1"),
    ((2, 198, 8), "NLC:special=2"),
    ((2, 261, 8), "NLC:special=5"),
    ((197, 2, 8), "LNC:special=1"),
    ((2, 10), "NC"),
    # Not of an image, or of windows, whose shift cannot be inferred from the shape.
    ((2, 77, 8), None),
    ((8, 49, 8), None),
    ((6, 10), None),
    ((2,), None),
    ((2, 3, 4, 5, 6), None),
    ((2, 0, 5), None),
  ],
)
def test_guesses(shape, guess):
  found = guess_layout(shape, 2, convolution="NCHW")
  assert (str(found) if found else None) == guess


def test_registers_that_make_a_square_with_the_patches_are_no_patches():
  # 196 patches and 29 registers are 225 tokens, which is the square of 15.
  shapes = read_shapes(
    {"cut": (2, 8, 14, 14), "block": (2, 225, 8)}, 2, convolution="NCHW"
  )
  assert [shape.layout for shape in shapes] == ["NCHW", "NLC:special=29"]
  assert (shapes[1].height, shapes[1].width, shapes[1].units) == (14, 14, 8)


def test_layouts_of_the_user_come_first_and_globs_where_they_suit():
  arrays = {"a": (2, 8, 14, 14), "b": (2, 197, 8), "c": (8, 49, 8), "d": (2, 9)}
  layouts = parse_layouts("*=NLC:token=0, c=windows:side=7:shift=3")
  shapes = read_shapes(arrays, 2, convolution="NCHW", layouts=layouts)
  assert {shape.name: shape.layout for shape in shapes} == {
    "a": "NCHW",
    "b": "NLC:token=0",
    "c": "windows:side=7:shift=3",
    "d": "NC",
  }
  assert layouts_of(shapes)["c"] == Layout("windows", side=7, shift=3)
  with pytest.raises(UserError, match="cannot be read as NC"):
    read_shapes(arrays, 2, convolution="NCHW", layouts=parse_layouts("a=NC"))
  for nothing in ("e*=NC", "a*=NC"):
    with pytest.raises(UserError, match="fits no layer"):
      read_shapes(arrays, 2, convolution="NCHW", layouts=parse_layouts(nothing))


def test_layouts_are_written_as_they_are_read():
  for text in (
    "NCHW",
    "NLC:special=1:grid=14x7",
    "windows:side=7:shift=3",
    "NLC:token=0",
  ):
    assert str(parse_layout(text)) == text
  assert parse_layouts("NLC:special=1") == {"*": Layout("NLC", special=1)}
  layouts = parse_layouts("x.*=NHWC,x.1=NCHW")
  assert matching_layouts(layouts, "x.1") == {"x.1": Layout("NCHW")}
  assert matching_layouts(layouts, "x.2") == {"x.*": Layout("NHWC")}
  assert matching_layouts(layouts, "y") == {}


@pytest.mark.parametrize("text", ["NHCW", "NLC:special", "NLC:grid=14", "NLC:x=1", ""])
def test_no_layouts(text):
  with pytest.raises(UserError, match="is not a layout: expected NCHW"):
    parse_layout(text)
