"""Units of nothing for the fit of a confidence."""

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.api.stores import open_exemplars
from milan_jax._src.lab.annotation import nothing_units
from milan_jax._src.lab.evaluation.negatives import SIZE, K
from milan_jax._src.store.region_sets import RegionSetWriter

UNITS_MADE, LENDERS = 6, 20


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
  """Exemplars of two networks, in gray, and three photographs, in red.

  The one region of a network's unit N is the first 10 N + 10 rows of an image of shade
  N, or of shade N + 100 in the second network.
  """
  folder = tmp_path_factory.mktemp("sources")
  for network, name in enumerate(("first", "second")):
    with RegionSetWriter(folder / name / "exemplars", "layer", 1, SIZE) as writer:
      for unit in range(LENDERS):
        shade = np.full((SIZE, SIZE, 3), 100 * network + unit, np.uint8)
        mask = np.arange(SIZE)[:, None] < np.full(SIZE, 10 * unit + 10)
        writer.add(unit, [writer.image(unit, shade)], mask[None])
  (folder / "photographs").mkdir()
  for red in (100, 150, 200):
    photograph = Image.new("RGB", (300, 260), (red, 0, 0))
    photograph.save(folder / "photographs" / f"{red}.png")
  return folder


def _write(sources, out, *options):
  folders = [str(sources / name / "exemplars") for name in ("first", "second")]
  given = [*folders, "--images", str(sources / "photographs"), "--out", str(out)]
  return nothing_units.main([*given, "--num_units", str(UNITS_MADE), *options])


@pytest.fixture(scope="module")
def made(sources, tmp_path_factory):
  out = tmp_path_factory.mktemp("made") / "nothing"
  assert _write(sources, out) == 0
  return out


def _regions(folder, unit):
  """The color of each of a unit's images, and its masks."""
  store, slots = open_exemplars(folder), np.arange(K)
  rows = store.exemplars(nothing_units.LAYER).image_rows
  assert rows.shape == (UNITS_MADE, K)
  masks = store.masks(nothing_units.LAYER, np.full(K, unit), slots)
  return store.images(rows[unit])[:, 0, 0], masks


def test_half_have_regions_of_different_units_of_a_network(made):
  for unit in range(UNITS_MADE // 2):
    colors, masks = _regions(made, unit)
    lenders = colors[:, 0].astype(int) - 100 * (unit % 2)
    assert len(set(lenders)) == K and lenders.min() >= 0 and lenders.max() < LENDERS
    np.testing.assert_array_equal(masks.any(2).sum(1), 10 * lenders + 10)


def test_half_have_masks_at_random_places_of_photographs(made):
  places = []
  for unit in range(UNITS_MADE // 2, UNITS_MADE):
    colors, masks = _regions(made, unit)
    assert set(map(tuple, colors.tolist())) <= {(red, 0, 0) for red in (100, 150, 200)}
    areas = masks.mean((1, 2))
    assert areas.min() > 0.02 and areas.max() < 0.21
    places += [mask.tobytes() for mask in masks]
  assert len(set(places)) == len(places)


def test_a_seed_gives_the_same_bytes_and_another_seed_others(sources, made, tmp_path):
  assert _write(sources, tmp_path / "again") == 0
  paths = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
  assert len(paths) > 3
  for path in paths:
    assert (tmp_path / "again" / path).read_bytes() == (made / path).read_bytes()
  assert _write(sources, tmp_path / "other", "--seed", "1") == 0
  for unit in (0, UNITS_MADE - 1):
    assert (_regions(made, unit)[1] != _regions(tmp_path / "other", unit)[1]).any()


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (("--num_units", "3"), "--num_units=3: expected an even number, 2 or more"),
    (("--num_units", "0"), "--num_units=0: expected an even number"),
    (("--images", "/nowhere"), "No folder /nowhere"),
    (("--out", "{made}"), "already exists"),
  ],
)
def test_bad_input(sources, made, tmp_path, capsys, options, message):
  options = [each.format(made=made) for each in options]
  assert _write(sources, tmp_path / "out", *options) == 2
  error = capsys.readouterr().err
  assert error.startswith("nothing_units: ") and message in error
  assert error.count("\n") == 1
  assert not (tmp_path / "out").exists()


def test_images_of_another_size_are_refused(sources, tmp_path, capsys):
  with RegionSetWriter(tmp_path / "third" / "exemplars", "layer", 1, 16) as writer:
    row = writer.image(0, np.zeros((16, 16, 3), np.uint8))
    writer.add(0, [row], np.ones((1, 16, 16), bool))
  given = [f"{tmp_path}/third/exemplars", "--images", str(sources / "photographs")]
  assert nothing_units.main([*given, "--out", str(tmp_path / "out")]) == 2
  assert "expected exemplars with images of 224 pixels a side; found 16" in (
    capsys.readouterr().err
  )
