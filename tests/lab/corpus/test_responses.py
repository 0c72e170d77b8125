"""Every response against pictures whose answer a person knows."""

import functools

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.lab.corpus import colors, measures, responses
from tests.lab.corpus import pictures

BLACK, DARK, GRAY, LIGHT, WHITE = (
  (0,) * 3,
  (40,) * 3,
  (128,) * 3,
  (215,) * 3,
  (255,) * 3,
)
NAMED = {
  "red": (205, 25, 30),
  "orange": (250, 150, 20),
  "yellow": (250, 230, 40),
  "green": (40, 150, 50),
  "blue": (40, 80, 220),
  "purple": (130, 40, 170),
  "pink": (255, 150, 185),
  "brown": (120, 70, 30),
  "white": (252, 252, 252),
  "gray": (128, 128, 128),
  "black": (8, 8, 8),
}
ANGLES = {"horizontal": 0, "vertical": 90, "rising": 45, "falling": -45}


def _at(image, grid=28):
  return measures.measured(image)[grid]


def _mean(response, image, rows=slice(8, 20), columns=slice(8, 20)):
  return float(response(_at(image))[rows, columns].mean())


def _peak(response, image):
  """Away from the border, where the picture ends and nothing is known."""
  return float(response(_at(image))[3:-3, 3:-3].max())


@pytest.mark.parametrize(
  ("rgb", "lightness", "chroma", "hue"),
  [  # CSS Color 4's values of these in oklch()
    ((255, 0, 0), 0.62796, 0.25768, 29.23),
    ((0, 255, 0), 0.86644, 0.29483, 142.50),
    ((0, 0, 255), 0.45201, 0.31321, 264.05),
    ((255, 255, 0), 0.96798, 0.21101, 109.77),
  ],
)
def test_oklab_has_the_published_values(rgb, lightness, chroma, hue):
  found = colors.oklab(np.array([[rgb]], np.uint8))[:, 0, 0]
  assert found[0] == pytest.approx(lightness, abs=1e-4)
  assert np.hypot(found[1], found[2]) == pytest.approx(chroma, abs=1e-4)
  assert np.degrees(np.arctan2(found[2], found[1])) % 360 == pytest.approx(
    hue, abs=0.05
  )


@pytest.mark.parametrize("name", NAMED)
def test_a_disc_has_its_color_and_no_other(name):
  ground = NAMED["green"] if name != "green" else NAMED["blue"]
  found = _at(pictures.disc(NAMED[name], ground))
  rows, columns = np.mgrid[:28, :28] * 8 + 3.5
  inside = (rows - 112) ** 2 + (columns - 112) ** 2
  here = responses.color(found, name)
  assert (here[inside < 40**2] > 0.99).all()
  assert (here[inside > 60**2] < 0.01).all()
  for other in set(NAMED) - {name}:
    assert responses.color(found, other)[inside < 40**2].max() < 0.4, other


@pytest.mark.parametrize(("orientation", "angle"), ANGLES.items())
def test_an_edge_has_its_orientation_and_no_other(orientation, angle):
  # `halves` turns clockwise on a page whose rows grow downwards: "/" is at 45.
  image = pictures.halves(DARK, LIGHT, -angle if angle in (45, -45) else angle)
  found = {
    name: _peak(functools.partial(responses.oriented_edges, orientation=name), image)
    for name in ANGLES
  }
  assert found[orientation] > 0.3
  assert all(found[name] < 0.02 for name in ANGLES if name != orientation), found


def test_rising_means_up_to_the_right():
  rows, columns = np.mgrid[:224, :224]
  image = np.where((rows + columns < 223)[..., None], 40, 215).astype(np.uint8)
  image = np.broadcast_to(image, (224, 224, 3)).copy()
  assert image[0, 0, 0] == image[200, 5, 0] == image[5, 200, 0] == 40
  rising = functools.partial(responses.oriented_edges, orientation="rising")
  falling = functools.partial(responses.oriented_edges, orientation="falling")
  assert _peak(rising, image) > 0.3
  assert _peak(falling, image) < 0.02


@pytest.mark.parametrize("side", ["above", "below", "left", "right"])
def test_an_edge_has_the_dark_on_its_side(side):
  image = pictures.flat(LIGHT)
  place = {
    "above": (slice(None, 112), slice(None)),
    "below": (slice(112, None), slice(None)),
    "left": (slice(None), slice(None, 112)),
    "right": (slice(None), slice(112, None)),
  }[side]
  image[place] = DARK
  for dark in ("above", "below", "left", "right"):
    orientation = "horizontal" if dark in ("above", "below") else "vertical"
    response = functools.partial(
      responses.sided_edges, orientation=orientation, dark=dark
    )
    found = _peak(response, image)
    assert (found > 0.2) if dark == side else (found < 0.02), dark


@pytest.mark.parametrize(("orientation", "angle"), ANGLES.items())
@pytest.mark.parametrize("kind", ["bright", "dark"])
def test_a_line_has_its_orientation_and_its_shade(kind, orientation, angle):
  color, ground = (LIGHT, DARK) if kind == "bright" else (DARK, LIGHT)
  image = pictures.line(color, ground, -angle if angle in (45, -45) else angle)
  found = {
    (shade, name): float(responses.lines(_at(image), shade, name)[13:15, 13:15].max())
    for shade in ("bright", "dark")
    for name in ANGLES
  }
  best = max(found, key=lambda key: found[key])
  assert best == (kind, orientation)
  assert found[best] > 0.4
  assert sorted(found.values())[-2] < 0.4 * found[best]


@pytest.mark.parametrize(("orientation", "angle"), ANGLES.items())
def test_bars_are_stripes_of_their_orientation(orientation, angle):
  image = pictures.bars(-angle if angle in (45, -45) else angle, period=10)
  found = {
    name: _mean(functools.partial(responses.stripes, orientation=name), image)
    for name in ANGLES
  }
  assert found[orientation] > 0.5
  assert all(found[name] < 0.05 for name in ANGLES if name != orientation), found
  assert _mean(responses.any_stripes, image) == pytest.approx(found[orientation])
  assert _mean(responses.grids, image) < 0.1
  assert _mean(responses.dots, image) < 0.1


def test_a_single_edge_is_no_stripe():
  image = pictures.halves(DARK, LIGHT)
  assert _peak(responses.any_stripes, image) < 0.25
  assert _peak(responses.edges, image) > 0.3


def test_crossing_lines_are_a_grid_and_slanted_ones_are_none():
  image = pictures.flat(LIGHT)
  image[::14] = image[1::14] = image[2::14] = DARK
  image[:, ::14] = image[:, 1::14] = image[:, 2::14] = DARK
  rows, columns = np.mgrid[:224, :224]
  slanted = pictures.flat(LIGHT)
  slanted[((rows + columns) % 20 < 4) | ((rows - columns) % 20 < 4)] = DARK
  assert _mean(responses.grids, image) > 0.3
  assert _mean(responses.grids, slanted) < 0.05
  assert _mean(responses.any_stripes, image) < 0.1


@pytest.mark.parametrize("kind", ["bright", "dark"])
def test_a_small_disc_is_a_spot_of_its_shade_at_its_place(kind):
  color, ground = (LIGHT, DARK) if kind == "bright" else (DARK, LIGHT)
  image = pictures.disc(color, ground, row=60, column=140, radius=5)
  found = responses.spots(_at(image), kind)
  assert np.unravel_index(found.argmax(), found.shape) == (60 // 8, 140 // 8)
  assert found.max() > 0.4
  other = "dark" if kind == "bright" else "bright"
  assert responses.spots(_at(image), other).max() < 0.5 * found.max()
  line = pictures.line(color, ground)
  assert _peak(functools.partial(responses.spots, kind=kind), line) < 0.05


def test_a_square_has_its_corners_where_they_are_and_no_curve():
  image = pictures.flat(DARK)
  image[60:164, 76:148] = LIGHT
  found = responses.corners(_at(image, 56))
  strong = {tuple(place) for place in np.argwhere(found > 0.7 * found.max()) // 2}
  near = {
    (row, column)
    for row in (7, 20)
    for column in (9, 18)
    if any(abs(r - row) <= 1 and abs(c - column) <= 1 for r, c in strong)
  }
  assert len(near) == 4
  assert all(
    min(abs(r - row) + abs(c - column) for row in (7, 20) for column in (9, 18)) <= 2
    for r, c in strong
  )
  assert found[28, 19] < 0.05, "the middle of a side"


def test_a_round_outline_bends_and_a_straight_one_does_not():
  round_ = pictures.disc(LIGHT, DARK, radius=16)
  assert _peak(responses.curves, round_) > 0.3
  assert _peak(responses.curves, pictures.halves(LIGHT, DARK, 20)) < 0.05


def test_surfaces():
  plain, fine = pictures.flat(GRAY), pictures.noise(0, 60, 200)
  blocks = Image.fromarray(pictures.noise(1)[:28, :28])
  coarse = np.asarray(blocks.resize((224, 224), Image.Resampling.BICUBIC))
  assert _mean(responses.smooth, plain) > 0.95
  assert _mean(responses.smooth, fine) < 0.3
  assert _mean(responses.fine_texture, fine) > 0.4
  assert _mean(responses.fine_texture, plain) < 0.01
  assert _mean(responses.fine_texture, coarse) < _mean(responses.fine_texture, fine) / 2
  assert _mean(responses.coarse_texture, coarse) > 0.3
  assert _mean(responses.coarse_texture, fine) < 0.05
  rows = np.mgrid[:224, :224][0]
  waves = 128 + 80 * np.sin(2 * np.pi * rows / 75)
  soft = np.repeat(waves[..., None], 3, -1).astype(np.uint8)
  assert _mean(responses.blurry, soft) > 0.3
  assert _mean(responses.blurry, plain) < 0.01
  assert _mean(responses.blurry, fine) < 0.1


def test_light():
  assert _mean(responses.bright, pictures.flat(WHITE)) > 0.95
  assert _mean(responses.bright, pictures.flat(GRAY)) == 0
  assert _mean(responses.dark, pictures.flat(BLACK)) == 1
  assert _mean(responses.dark, pictures.flat(LIGHT)) == 0
  assert _mean(responses.medium, pictures.flat((115,) * 3)) > 0.9
  assert _mean(responses.medium, pictures.flat(WHITE)) == 0
  shining = pictures.disc(WHITE, DARK, radius=14)
  assert _peak(responses.highlights, shining) > 0.6
  assert _mean(responses.highlights, pictures.flat(WHITE)) < 0.01
  assert _mean(responses.shadows, pictures.flat(BLACK)) < 0.01
  hole = pictures.disc(BLACK, LIGHT, radius=14)
  assert _peak(responses.shadows, hole) > 0.6
  assert _peak(responses.contrast, pictures.halves(BLACK, WHITE)) > 0.6
  assert _peak(responses.contrast, pictures.halves(GRAY, (110,) * 3)) < 0.2


def test_color_pairs_and_patches():
  red, green = NAMED["red"], NAMED["green"]
  image = pictures.halves(red, green)
  pair = responses.color_pair(_at(image), "red", "green")
  assert pair[13:15, 5:23].min() > 0.6
  assert pair[:10].max() < 0.01
  small = pictures.disc(red, green, radius=8)
  assert _peak(functools.partial(responses.color_patch, name="red"), small) > 0.5
  assert (
    _peak(functools.partial(responses.color_patch, name="red"), pictures.flat(red)) == 0
  )


def test_the_measures_of_a_coarse_grid_are_means_of_a_finer():
  found = measures.measured(pictures.noise(3))
  assert tuple(found) == measures.GRIDS
  for name in ("edge power", "bright spot", "gray", "lightness"):
    fine, coarse = found[112][name], found[7][name]
    expected = fine.reshape(7, 16, 7, 16).mean((1, 3))
    np.testing.assert_allclose(coarse, expected, rtol=1e-5, atol=1e-7)
