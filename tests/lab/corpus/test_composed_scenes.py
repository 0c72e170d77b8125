"""Composed scenes show what their maps say, where they say it, from their own split."""

import hashlib

import numpy as np
import pytest

from milan_jax._src.lab.corpus import composed_scenes, scene_list, scenes, units
from milan_jax._src.lab.corpus.scenes import Tags
from milan_jax._src.lab.corpus.sources.picture import Picture
from milan_jax._src.lab.corpus.survey import Survey
from tests.lab.corpus import pictures

CYAN, MAGENTA, GREEN = (0, 255, 255), (255, 0, 255), (20, 120, 40)
SPLITS = ("train", "validation", "test")


class Shelf:
  """Pictures that note when they are read."""

  def __init__(self):
    self.read = []

  def _noted(self, key, pixels):
    def load():
      self.read.append(key)
      return pixels.copy()

    return load

  def cutout(self, key, what, color, words=()):
    pixels = np.zeros((60, 40, 4), np.uint8)
    pixels[10:50, 5:35, :3] = color
    pixels[10:50, 5:35, 3] = 255
    return Picture(key, "cutout", what, words, load=self._noted(key, pixels))

  def plain(self, key, kind, what, color, words=()):
    pixels = np.full((70, 90, 3), color, np.uint8)
    return Picture(key, kind, what, words, load=self._noted(key, pixels))

  def backdrop(self, split, color=GREEN):
    key = f"backdrop of {split}"
    return self._noted(key, np.full((64, 80, 3), color, np.uint8))


def _like(image, color):
  """Where a picture has a pure color; light may have changed it a little."""
  wanted = np.array(color) > 127
  return (np.where(wanted, image > 185, image < 40)).all(-1)


def _pixels(drawn):
  return drawn.repeat(4, 0).repeat(4, 1)


def test_a_cutout_lies_where_its_map_says():
  shelf = Shelf()
  picture = shelf.cutout("p:duck", "duck", CYAN, ("blue", "smooth"))
  found = composed_scenes.cutout_scenes(
    [picture], {"p:duck": "train"}, {"train": [shelf.backdrop("train")]},
    number=12, seed=0,
  )  # fmt: skip
  assert [scene.key for scene in found] == [f"p:duck#{n}" for n in range(12)]
  sizes = set()
  for scene in found:
    assert scene.tags == (Tags("duck", colors=("blue",), look="smooth"),)
    assert (scene.split, scene.group) == ("train", "p:duck")
    image, maps = scene.render()
    (alpha,) = maps
    shown, hidden = _pixels(alpha) == 1, _pixels(alpha) == 0
    assert _like(image, CYAN)[shown].all()
    assert not _like(image, CYAN)[hidden].any()
    rows, columns = np.nonzero(shown)
    sizes.add(max(np.ptp(rows), np.ptp(columns)) // 40)
  assert len(sizes) > 1


def test_in_between_a_map_is_the_share_of_the_thing_in_the_mixture():
  shelf = Shelf()
  found = composed_scenes.cutout_scenes(
    [shelf.cutout("p:hat", "hat", (0, 0, 0))],
    {"p:hat": "train"},
    {"train": [shelf.backdrop("train", (240, 180, 200))]},
    number=12,
    seed=0,
  )
  checked = 0
  for scene in found:
    image, maps = scene.render()
    (alpha,) = maps
    thing, ground = (
      np.median(image[_pixels(alpha) == share], axis=0) for share in (1, 0)
    )
    if np.abs(thing - ground).max() < 60:
      continue  # a dark ground
    across = (thing - ground) / ((thing - ground) ** 2).sum()
    share = ((image - ground) @ across).reshape(56, 4, 56, 4).mean((1, 3))
    np.testing.assert_allclose(share, alpha, atol=0.02)
    assert ((alpha > 0.1) & (alpha < 0.9)).sum() > 20
    checked += 1
  assert checked > 6


def test_two_cutouts_each_have_their_map():
  shelf = Shelf()
  colors = {"p:duck": CYAN, "p:car": MAGENTA}
  some = [
    shelf.cutout("p:duck", "duck", CYAN),
    shelf.cutout("p:car", "car", MAGENTA),
  ]
  found = composed_scenes.cutout_scenes(
    some, dict.fromkeys(colors, "test"), {}, number=20, seed=3
  )
  double = [scene for scene in found if len(scene.tags) == 2]
  assert 5 <= len(double) <= 22, "a third of 40"
  for scene in double:
    assert {tags.what for tags in scene.tags} == {"duck", "car"}
    image, maps = scene.render()
    for tags, alpha in zip(scene.tags, maps, strict=True):
      color = colors[f"p:{tags.what}"]
      assert (alpha == 1).any()
      assert _like(image, color)[_pixels(alpha) == 1].all()
      assert not _like(image, color)[_pixels(alpha) == 0].any()
    assert maps.sum(0).max() <= 1 + 1e-3


def test_textures_fill_the_scene_or_a_part_of_it():
  shelf = Shelf()
  picture = shelf.plain("t:lava", "texture", "lava", MAGENTA)
  found = composed_scenes.texture_scenes(
    [picture], {"t:lava": "train"}, {"train": [shelf.backdrop("train")]},
    number=20, seed=0,
  )  # fmt: skip
  whole = 0
  for scene in found:
    image, maps = scene.render()
    (drawn,) = maps
    there = _like(image, MAGENTA)
    assert there[_pixels(drawn) > 0.999].all()
    if there.all():
      whole += 1
      assert drawn.min() == 0 and drawn.max() == 1
      assert np.abs(np.diff(drawn)).max() < 0.2, "a smooth map"
    else:
      assert not there[_pixels(drawn) == 0].any()
      assert 0.2 < drawn.mean() < 0.7
  assert 6 <= whole <= 17


def test_named_photographs_are_shown_about_their_middle():
  shelf = Shelf()
  pixels = pictures.disc(CYAN, GREEN, radius=60)
  picture = Picture(
    "n:ball", "photograph", "ball", ("blue",), load=shelf._noted("n:ball", pixels)
  )
  for scene in composed_scenes.whole_scenes(
    [picture], {"n:ball": "test"}, number=4, seed=0
  ):
    assert scene.tags == (Tags("ball", colors=("blue",)),)
    image, maps = scene.render()
    rows, columns = np.nonzero(_like(image, CYAN))
    assert abs(rows.mean() - 111.5) < 2 and abs(columns.mean() - 111.5) < 2
    # The disc of 120 pixels, at most 1/0.82 as large.
    assert 118 <= np.ptp(rows) <= 120 / 0.82 + 2
    np.testing.assert_array_equal(
      maps[0], scenes.soft_shape((30.0, 30.0, 194.0, 194.0), round_=True)
    )


def test_lettering_lies_where_its_map_says():
  found = composed_scenes.text_scenes({}, number={"train": 20, "test": 5}, seed=0)
  assert [scene.split for scene in found] == ["train"] * 20 + ["test"] * 5
  assert len({scene.group for scene in found}) == 25
  seen = 0
  for scene in found:
    (tags,) = scene.tags
    assert tags.what == "text"
    image, maps = scene.render()
    (drawn,) = maps
    assert drawn.max() == pytest.approx(1)
    ink = (image == composed_scenes.COLORS[tags.colors[0]]).all(-1)
    cells = ink.reshape(56, 4, 56, 4).mean((1, 3))
    if ink.mean() < 0.005:
      continue  # so thin that it is mostly mixed with the ground
    seen += 1
    # A stroke's cell is on the map; the strongest cells hold or touch ink.
    assert drawn[cells > 0.5].min() > 0.15 if (cells > 0.5).any() else True
    near = np.lib.stride_tricks.sliding_window_view(np.pad(cells, 2), (5, 5))
    assert (near.max((2, 3))[drawn > 0.6] > 0).mean() > 0.95
    assert drawn[near.max((2, 3)) == 0].mean() < 0.1
  assert seen > 12


def _everything(shelf, seed):
  """All kinds of scenes, of sources of all splits."""
  colors = (CYAN, MAGENTA, (0, 255, 0), (255, 0, 0))
  some = [
    shelf.cutout(f"c:{n}", ("duck", "car", "hat")[n % 3], colors[n % 4])
    for n in range(12)
  ]
  some += [shelf.plain(f"t:{n}", "texture", "lava", colors[n % 4]) for n in range(9)]
  some += [
    shelf.plain(f"n:{n}", "photograph", "castle", colors[n % 4]) for n in range(9)
  ]
  splits = {picture.key: SPLITS[n % 3] for n, picture in enumerate(some)}
  backdrops = {
    split: [
      shelf.backdrop(split),
      *(p.load for p in some[12:21] if splits[p.key] == split),
    ]
    for split in SPLITS
  }
  return splits, [
    *composed_scenes.cutout_scenes(some[:12], splits, backdrops, number=3, seed=seed),
    *composed_scenes.texture_scenes(
      some[12:21], splits, backdrops, number=2, seed=seed
    ),
    *composed_scenes.whole_scenes(some[21:], splits, number=2, seed=seed),
    *composed_scenes.text_scenes(backdrops, number=dict.fromkeys(SPLITS, 3), seed=seed),
  ]


def _digest(rendered):
  return hashlib.sha256(rendered.image.tobytes() + rendered.regions.tobytes()).digest()


def test_scenes_draw_on_sources_of_their_split_and_are_the_same_each_time():
  shelf = Shelf()
  splits, found = _everything(shelf, 0)
  splits = splits | {f"backdrop of {split}": split for split in SPLITS}
  assert not shelf.read, "nothing is read before a scene is rendered"
  assert len({scene.key for scene in found}) == len(found) == 36 + 18 + 18 + 9
  before, read = {}, set()
  for scene in found:
    shelf.read.clear()
    rendered = scene.render()
    assert {splits[key] for key in shelf.read} <= {scene.split}, scene.key
    assert len(rendered.regions) == len(scene.tags)
    assert rendered.regions.min() >= 0 and rendered.regions.max() <= 1
    read |= set(shelf.read)
    before[scene.key] = _digest(rendered)
  assert read == set(splits)

  _, again = _everything(Shelf(), 0)
  rng = np.random.default_rng(0)
  for place in rng.permutation(len(again))[:30]:  # in another order
    assert _digest(again[place].render()) == before[again[place].key]
  _, others = _everything(Shelf(), 1)
  same = [_digest(scene.render()) == before[scene.key] for scene in others[::4]]
  assert not any(same)


def test_a_blob_is_a_smooth_map_from_0_to_1():
  found = composed_scenes.blob(np.random.default_rng(0))
  assert (found.min(), found.max()) == (0, 1)
  assert np.abs(np.diff(found, axis=0)).max() < 0.2


class Photographs:
  """As many plain photographs as splits, each of one color."""

  size = 224

  def __len__(self):
    return 3

  def name(self, index):
    return f"{index}.png"

  @property
  def blank(self):
    return pictures.flat((0, 0, 0))

  def load(self, index):
    return pictures.flat(((200, 0, 0), (0, 200, 0), (0, 0, 200))[index])


class Found(Survey):
  """A survey of these: one in each split."""

  def __init__(self):
    self.splits = dict(enumerate(SPLITS))

  def digest_of(self):
    return dict.fromkeys(range(3), "unknown")


def test_all_scenes_are_listed_and_backdrops_are_of_their_split():
  shelf = Shelf()
  some = [shelf.cutout(f"c:{n}", "duck", CYAN) for n in range(9)]
  some += [shelf.plain(f"t:{n}", "texture", "lava", MAGENTA) for n in range(6)]
  some += [shelf.plain(f"n:{n}", "photograph", "castle", GREEN) for n in range(3)]
  splits = units.split_groups([picture.group for picture in some], 0)
  found = scene_list.all_scenes(Photographs(), Found(), some, splits, seed=0)
  counts = {
    "c": 9 * scene_list.CUTOUT_SCENES,
    "t": 6 * scene_list.TEXTURE_SCENES,
    "n": 3 * scene_list.WHOLE_SCENES,
    "text": sum(scene_list.TEXT_SCENES.values()),
  }
  kinds = [scene.key.split(":")[0] for scene in found]
  assert {kind: kinds.count(kind) for kind in counts} == counts
  assert len({scene.key for scene in found}) == len(found) == sum(counts.values())
  for scene in found:
    if scene.key.startswith(("c:", "t:", "n:")):
      assert scene.split == splits[scene.key.split("#")[0]]
  # Behind the cut-outs of a split is that split's photograph, or a plain color.
  number = {split: place for place, split in enumerate(SPLITS)}
  hits = 0
  for scene in [s for s in found if s.key.startswith("c:")][:18]:
    image, maps = scene.render()
    ground = np.median(image[_pixels(maps[0]) == 0], axis=0)
    pure = (ground > 150) & (np.sort(ground)[1] < 20)
    if pure.any() and not _like(ground, MAGENTA):
      place = int(pure.argmax())
      if abs(ground[place] - 200) < 1:  # a photograph is not lit again
        assert place == number[scene.split]
        hits += 1
  assert hits > 4
  assert scene_list.all_scenes(Photographs(), Found(), [], {}, seed=0) == []
