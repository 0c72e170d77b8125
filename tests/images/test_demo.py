import itertools
import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.images import demo
from milan_jax._src.images.geometry import Geometry

pytest.importorskip("skimage")
pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def source():
  return demo.DemoImages(Geometry(64, 56))


def test_hundreds_of_crops_of_all_photographs(source):
  names = [source.name(index) for index in range(len(source))]
  assert len(set(names)) == len(names)
  assert 300 <= len(names) <= 1000
  photographs = {name.split("@")[0] for name in names}
  assert photographs == {pathlib.Path(file).stem for _, file in demo.PHOTOGRAPHS}
  assert len(photographs) == len(demo.PHOTOGRAPHS) == 36


def test_every_photograph_here_is_shown_and_its_license_named():
  folder = pathlib.Path(demo.__file__).parent / "photographs"
  stored = {path.name for path in folder.iterdir()}
  assert stored == {
    pathlib.Path(file).name
    for package, file in demo.PHOTOGRAPHS
    if package == "milan_jax"
  }
  root = pathlib.Path(__file__).parents[2]
  named = re.findall(r"`(\w+\.jpg)`", (root / "THIRD_PARTY.md").read_text())
  assert stored <= set(named)


def test_no_crop_is_much_enlarged(source):
  sides = [min(width, height) for _, _, _, width, height, _ in source._crops]
  assert min(sides) >= demo.MIN_SIDE


def test_crops_of_one_photograph_are_one_group(source):
  groups = source.groups()
  assert groups.shape == (len(source),)
  stems = [pathlib.Path(file).stem for _, file in demo.PHOTOGRAPHS]
  for index, group in enumerate(groups):
    assert source.name(index).split("@")[0] == stems[group]


def test_every_photograph_is_in_color(source):
  for photograph in source._photographs.values():
    rgb = np.asarray(photograph).astype(int)
    assert (rgb.max(axis=2) - rgb.min(axis=2)).mean() > 5


def test_a_crop_shows_what_its_name_says(source):
  from skimage import data

  for index in range(0, len(source), 7):
    photograph, rest = source.name(index).split("@")
    left, top, scale = rest.split(",")
    if photograph not in ("astronaut", "coffee", "chelsea"):
      continue
    whole = getattr(data, {"chelsea": "cat"}.get(photograph, photograph))()
    side = round(float(scale) * min(whole.shape[:2]))
    cut = whole[int(top) : int(top) + side, int(left) : int(left) + side]
    small = np.asarray(Image.fromarray(cut).resize((56, 56), Image.Resampling.BICUBIC))
    # Resizing a box also reads pixels around it, so only the inside is equal.
    np.testing.assert_allclose(
      source.load(index)[4:-4, 4:-4].astype(int), small[4:-4, 4:-4], atol=1
    )


def test_windows_cover_the_photograph_from_end_to_end():
  for length, side in [(640, 427), (300, 300), (451, 150)]:
    starts = demo._starts(length, side)
    assert starts[0] == 0
    assert starts[-1] == length - side
    assert all(b - a <= side / 2 + 1 for a, b in itertools.pairwise(starts))


def test_a_package_that_is_missing(monkeypatch):
  monkeypatch.setattr(demo, "PHOTOGRAPHS", (("no_such_package", "a.png"),))
  with pytest.raises(UserError, match=r"milan-jax\[demo\]"):
    demo.DemoImages(Geometry(64, 56))
  monkeypatch.setattr(demo, "PHOTOGRAPHS", (("skimage", "data/none.png"),))
  with pytest.raises(UserError, match="missing"):
    demo.DemoImages(Geometry(64, 56))
