"""Regions of photographs against painted ones, and soft shapes against a formula."""

import hashlib
import math

import numpy as np
import pytest

from milan_jax._src.lab.corpus import photo_scenes, scenes, views
from milan_jax._src.lab.corpus.scenes import Tags
from milan_jax._src.lab.corpus.views import View
from tests.lab.corpus import pictures


def _shape(box, round_):
  """`soft_shape`, a cell at a time: the mean of four points two pixels apart."""
  left, top, right, bottom = box
  found = np.zeros((56, 56))
  for row in range(56):
    for column in range(56):
      for y in (4 * row + 1, 4 * row + 3):
        for x in (4 * column + 1, 4 * column + 3):
          across = abs(x - (left + right) / 2) / ((right - left) / 2)
          down = abs(y - (top + bottom) / 2) / ((bottom - top) / 2)
          away = math.hypot(across, down) if round_ else max(across, down)
          found[row, column] += (1 - away**2 / 2) / 4 if away <= 1 else 0
  return found


@pytest.mark.parametrize("round_", [True, False])
@pytest.mark.parametrize(
  "box", [(20, 40, 121, 77), (-30, 100, 90, 260), (50, 50, 58, 57)]
)
def test_a_soft_shape_equals_its_formula(box, round_):
  found = scenes.soft_shape(tuple(map(float, box)), round_=round_)
  np.testing.assert_allclose(found, _shape(box, round_), atol=1e-5)
  assert found.max() <= 1


def test_a_seen_box_is_where_a_painted_one_is_seen():
  rng = np.random.default_rng(0)
  lost = kept = 0
  for number in range(120):
    wide, high = rng.integers(14, 150, 2)
    left, top = rng.integers(0, 224 - wide), rng.integers(0, 224 - high)
    box = tuple(map(float, (left, top, left + wide, top + high)))
    view = views.views_of(number, 3, seed=1)[int(rng.integers(3))]
    image = pictures.flat((0, 0, 0))
    image[top : top + high, left : left + wide] = 255
    shown = views.seen(image, view, 224)[..., 0] > 127
    area = shown.sum() * view.side**2 / (wide * high)
    rows, columns = (np.flatnonzero(shown.any(axis)) for axis in (1, 0))
    sides = min(len(rows), len(columns))
    found = photo_scenes.seen_box(box, view)
    if abs(area - photo_scenes.LEAST_PART) < 0.05 or abs(sides - 12) < 2:
      continue  # too near to tell by counting pixels
    if area < photo_scenes.LEAST_PART or sides < photo_scenes.LEAST_SIDE:
      assert found is None
      lost += 1
      continue
    inside = np.clip(found, 0, 224)
    expected = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    np.testing.assert_allclose(inside, expected, atol=1.6)
    # What reaches beyond the view keeps its size.
    np.testing.assert_allclose(found[2] - found[0], wide / view.side)
    np.testing.assert_allclose(found[3] - found[1], high / view.side)
    kept += 1
  assert lost > 15 and kept > 50


def test_a_mirror_swaps_the_sides_of_a_box():
  found = photo_scenes.seen_box((10.0, 20.0, 60.0, 80.0), View(0, mirrored=True))
  assert found == (164.0, 20.0, 214.0, 80.0)


def test_a_region_is_read_by_its_aliases_and_known_colors():
  region = photo_scenes.NamedRegion(
    ["sofa", "legs", 1, 2, 3, 4, 1, "tan and mauve", "old"]
  )
  assert region.tags == Tags("couch", "leg", ("tan",), "old")
  assert region.box == (1.0, 2.0, 3.0, 4.0)
  assert region.round


def test_the_packaged_table_is_sound():
  table = photo_scenes.named_regions()
  assert len(table) == 500
  for digest, regions in table.items():
    assert len(digest) == 16
    assert regions
    for region in regions:
      left, top, right, bottom = region.box
      assert 0 <= left < right <= 224 and 0 <= top < bottom <= 224
      assert region.tags.what == region.tags.what.strip().lower()


class Rooms:
  """Three photographs; in the second a red box, in the third a blue disc."""

  size = 224

  def __len__(self):
    return 3

  def name(self, index):
    return f"room-{index}.png"

  @property
  def blank(self):
    return pictures.flat((0, 0, 0))

  def load(self, index):
    image = pictures.flat((100 + index, 120, 100))
    if index == 1:
      image[60:160, 40:120] = (220, 20, 20)
    if index == 2:
      image = pictures.disc((20, 20, 220), (100, 120, 100), 100, 130, 40)
    return image


@pytest.fixture
def rooms(monkeypatch):
  source = Rooms()
  digests = {
    index: hashlib.sha256(source.load(index).tobytes()).hexdigest()
    for index in range(3)
  }
  table = {
    digests[1][:16]: (
      photo_scenes.NamedRegion(["box", "", 40, 60, 120, 160, 0, "red", ""]),
      photo_scenes.NamedRegion(["wall", "", 0, 0, 224, 224, 0, "gray", "smooth"]),
    ),
    digests[2][:16]: (
      photo_scenes.NamedRegion(["ball", "", 90, 60, 170, 140, 1, "blue", ""]),
    ),
  }
  monkeypatch.setattr(photo_scenes, "named_regions", lambda: table)
  splits = {0: "train", 1: "test", 2: "train"}
  found = photo_scenes.photo_scenes(source, digests, splits, number=4, seed=5)
  return source, digests, table, found


def test_scenes_of_photographs_are_their_views_with_what_is_seen_there(rooms):
  source, digests, table, found = rooms
  by_key = {scene.key: scene for scene in found}
  assert len(by_key) == len(found)
  expected = []
  for index, split in ((1, "test"), (2, "train")):
    for view in views.views_of(index, 4, 5):
      boxes = [
        (region, photo_scenes.seen_box(region.box, view))
        for region in table[digests[index][:16]]
      ]
      boxes = [(region, box) for region, box in boxes if box]
      if not boxes:
        continue
      key = views.view_name(source, view)
      expected.append(key)
      scene = by_key[key]
      assert scene.split == split
      assert scene.group.endswith(digests[index][:16])
      assert scene.tags == tuple(region.tags for region, _ in boxes)
      image, maps = scene.render()
      np.testing.assert_array_equal(image, views.seen(source.load(index), view, 224))
      assert len(maps) == len(boxes)
      for (region, box), drawn in zip(boxes, maps, strict=True):
        np.testing.assert_array_equal(
          drawn, scenes.soft_shape(box, round_=region.round)
        )
  assert [scene.key for scene in found] == expected
  assert [scene.key for scene in found if "@" not in scene.key] == [
    "room-1.png",
    "room-2.png",
  ]
  assert len({scene.group for scene in found}) == 2


def test_maps_lie_on_what_they_name(rooms):
  *_, found = rooms
  checked = 0
  for scene in found:
    image, maps = scene.render()
    cells = image.reshape(56, 4, 56, 4, 3).mean((1, 3))
    for tags, drawn in zip(scene.tags, maps, strict=True):
      if tags.what == "wall":
        continue
      channel = {"red": 0, "blue": 2}[tags.colors[0]]
      colored = cells[..., channel] - np.delete(cells, channel, -1).max(-1)
      assert (colored[drawn > 0.55] > 60).all()
      assert (colored[drawn == 0] < 100).all()
      checked += 1
  assert checked >= 5
