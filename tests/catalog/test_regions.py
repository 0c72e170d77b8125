import numpy as np

from milan_jax._src.catalog import regions


def test_a_region_is_drawn_value_by_value():
  image = np.full((9, 11, 3), 200, np.uint8)
  image[4, 5] = [10, 20, 30]
  mask = np.zeros((9, 11), bool)
  mask[3:6, 4:8] = True
  for border in (1, 2):
    drawn = regions.render_region(image, mask, border=border)
    for row in range(9):
      for column in range(11):
        away = max(3 - row, row - 5, 4 - column, column - 7)
        if away <= 0:
          expected = tuple(image[row, column])
        elif away <= border:
          expected = regions.YELLOW
        else:
          expected = (70, 70, 70)
        assert tuple(drawn[row, column]) == expected, (border, row, column)
  assert image.max() == 200, "the caller's image is left alone"


def test_a_border_ends_at_the_image_and_goes_around_every_part():
  image = np.full((6, 8, 3), 100, np.uint8)
  np.testing.assert_array_equal(
    regions.render_region(image, np.ones((6, 8), bool)), image
  )
  mask = np.zeros((6, 8), bool)
  mask[0, 0] = mask[5, 7] = True
  drawn = regions.render_region(image, mask, border=1)
  yellow = {tuple(place) for place in np.argwhere((drawn == regions.YELLOW).all(-1))}
  assert yellow == {(0, 1), (1, 0), (1, 1), (4, 6), (4, 7), (5, 6)}
  assert tuple(drawn[0, 0]) == (100, 100, 100)
  assert (regions.render_region(image, np.zeros((6, 8), bool)) == 35).all()


def test_a_resized_mask_keeps_a_single_pixel_at_its_place():
  mask = np.zeros((224, 224), bool)
  mask[100, 31] = True
  small = regions.resized_mask(mask, 112)
  assert np.argwhere(small).tolist() == [[50, 15]]
  large = regions.resized_mask(np.array([[True, False], [False, False]]), 4)
  expected = np.zeros((4, 4), bool)
  expected[:2, :2] = True
  np.testing.assert_array_equal(large, expected)
