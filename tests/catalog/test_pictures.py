"""Sheets and covers, laid over each other, against regions drawn one by one."""

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.catalog import pictures, regions
from milan_jax._src.errors import UserError
from milan_jax._src.records import Unit


def _scene(count, height, width):
  """Smooth images, which survive compression, and round masks."""
  rows, columns = np.mgrid[:height, :width]
  images = np.empty((count, height, width, 3), np.uint8)
  masks = np.empty((count, height, width), bool)
  for place in range(count):
    images[place, ..., 0] = 60 + 120 * rows / height
    images[place, ..., 1] = 60 + 120 * columns / width
    images[place, ..., 2] = 100 + 7 * place
    center = np.array([height, width]) * (0.3 + 0.03 * place)
    masks[place] = np.hypot(rows - center[0], columns - center[1]) < height / 5
  return images, masks


def _laid_over(folder, unit):
  sheet, cover = (
    Image.open(folder / f"{pictures.unit_name(unit)}{suffix}").convert("RGBA")
    for suffix in (pictures.SHEET, pictures.COVER)
  )
  sheet.alpha_composite(cover)
  return np.asarray(sheet.convert("RGB")), np.asarray(cover)


@pytest.mark.parametrize(
  ("count", "height", "width", "size"),
  [
    (15, 224, 224, (568, 340)),
    (7, 160, 224, (568, 226)),
    (2, 299, 150, (226, 112)),
    (1, 40, 64, (112, 112)),
  ],
)
def test_a_cover_over_its_sheet_shows_each_region(tmp_path, count, height, width, size):
  images, masks = _scene(count, height, width)
  unit = Unit("a", 3, "off")
  with pictures.Drawing() as drawing:
    found = drawing.begin(tmp_path, unit, lambda: (images, masks)).result()
  assert found == size and pictures.num_tiles(size) >= count
  drawn, cover = _laid_over(tmp_path, unit)
  step = regions.TILE + regions.GAP
  for place in range(count):
    top, left = place // 5 * step, place % 5 * step
    inside = np.s_[top : top + regions.TILE, left : left + regions.TILE]
    expected = regions.tile(images[place], masks[place])
    # Lossy: by some levels of 255 on average, more at the edges of the padding.
    away = np.abs(drawn[inside].astype(int) - expected).max(-1)
    assert np.median(away) <= 4 and np.quantile(away, 0.99) <= 24
    yellow = (expected == regions.YELLOW).all(-1)
    np.testing.assert_array_equal(
      (cover[inside] == (*regions.YELLOW, 255)).all(-1), yellow
    )
  gap = cover[:, regions.TILE : step] if count > 1 else cover[:0]
  assert not gap[..., 3].any()


def _full(path, data):
  raise OSError("no space left")


def test_units_that_are_begun_are_finished_and_faults_are_kept(tmp_path, monkeypatch):
  images, masks = _scene(2, 32, 32)
  with pictures.Drawing() as drawing:
    sizes = [
      drawing.begin(tmp_path, Unit("a", index), lambda: (images, masks))
      for index in range(20)
    ]
    for size in sizes:
      size.result()
    monkeypatch.setattr(pictures, "_write", _full)
    wrong = drawing.begin(tmp_path / "b", Unit("a", 0), lambda: (images, masks))
  assert [size.result() for size in sizes] == [(226, 112)] * 20
  assert len(list(tmp_path.glob("*.webp"))) == 40
  assert not list(tmp_path.rglob("*.partial"))
  with pytest.raises(OSError, match="no space"):
    wrong.result()


def test_what_is_there_is_not_read_again(tmp_path):
  images, masks = _scene(2, 32, 32)
  unit = Unit("a", 0)
  with pictures.Drawing() as drawing:
    drawing.begin(tmp_path, unit, lambda: (images, masks)).result()
    asked = []
    size = drawing.begin(tmp_path, unit, lambda: asked.append(1))
    assert size.result() == (226, 112) and not asked
    (tmp_path / "0.webp").unlink()
    (tmp_path / "0.webp").mkdir()
    with pytest.raises(UserError, match=r"0\.webp cannot be read"):
      drawing.begin(tmp_path, unit, lambda: (images, masks))
