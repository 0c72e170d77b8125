import io

import numpy as np
from PIL import Image

from milan_jax._src.annotation import contact_sheet as sheets
from milan_jax._src.catalog.regions import YELLOW


def _mask(*parts, size=(224, 224)):
  mask = np.zeros(size, bool)
  for top, left, height, width in parts:
    mask[top : top + height, left : left + width] = True
  return mask


def test_the_crop_is_a_square_around_the_largest_part():
  mask = _mask((100, 60, 60, 80), (4, 4, 8, 8), (200, 200, 10, 10))
  top, left, side = sheets.crop_of(mask)
  assert side == 120
  # The part's middle is at row 130, column 100.
  assert (top, left) == (70, 40)


def test_a_crop_stays_inside_the_image_and_is_not_too_small():
  assert sheets.crop_of(_mask((0, 222, 2, 2))) == (0, 168, 56)
  assert sheets.crop_of(_mask((0, 0, 224, 224))) == (0, 0, 224)
  top, left, side = sheets.crop_of(_mask((0, 0, 40, 100), size=(40, 100)))
  assert (top, left, side) == (0, 30, 40)


def test_parts_that_touch_at_a_corner_are_one():
  mask = _mask((40, 40, 40, 40), (80, 80, 40, 40), (160, 0, 44, 44))
  assert sheets.crop_of(mask) == (20, 20, 120)


def test_a_region_is_enlarged_and_its_surroundings_are_not_dimmed():
  image = np.full((224, 224, 3), 90, np.uint8)
  image[84:140, 84:140] = 200
  drawn = sheets.enlarged(image, _mask((84, 84, 56, 56)), 84)
  yellow = (drawn == YELLOW).all(-1)
  # 56 pixels of a crop of 84: from row 14 to row 70.
  assert np.argwhere(yellow).min() == 13 and np.argwhere(yellow).max() == 70
  assert (drawn[20:60, 20:60] == 200).all()
  assert (drawn[:8, :8] == 90).all()


def test_each_unit_has_its_regions_in_two_rows():
  shades = np.arange(1, 16, dtype=np.uint8) * 16
  images = np.broadcast_to(shades[:, None, None, None], (15, 64, 64, 3)).copy()
  masks = np.ones((15, 64, 64), bool)
  data = sheets.contact_sheet(7, [(images, masks), (images[::-1][:5], masks[:5])])
  sheet = np.asarray(Image.open(io.BytesIO(data)))
  assert sheet.shape == (22 + 2 * (22 + 2 * 104) - 2, 15 * 104 - 2, 3)
  assert max(sheet.shape) <= 1560
  for unit, row in enumerate((shades, shades[::-1][:5])):
    for column in range(15):
      for part in (0, 104):
        y, x = 44 + unit * 230 + part + 51, column * 104 + 51
        want = row[column] if column < len(row) else 255
        assert (sheet[y, x] == want).all(), (unit, column, part)
  # The letters and the sheet's number, and nothing else, are above the regions.
  above = [sheet[:22], sheet[22:44], sheet[252:274]]
  assert all((strip[:, :140] < 128).any() for strip in above)
  assert all((strip[:, 140:] == 255).all() for strip in above)
