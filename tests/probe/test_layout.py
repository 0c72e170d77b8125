import numpy as np
import pytest

from milan_jax.errors import UserError
from milan_jax.probe.layout import to_places


def test_four_axes():
  values = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).astype(np.float32)
  places = to_places(values, "a", layout="NCHW")
  assert places.shape == (2, 4, 5, 3)
  assert places[1, 2, 4, 0] == values[1, 0, 2, 4]
  assert np.shares_memory(places, values)
  assert to_places(values, "a", layout="NHWC") is values


def test_a_vector_has_one_place():
  values = np.arange(6, dtype=np.float32).reshape(2, 3)
  places = to_places(values, "a", layout="NCHW")
  assert places.shape == (2, 1, 1, 3)
  np.testing.assert_array_equal(places[:, 0, 0], values)


@pytest.mark.parametrize("special", [0, 1, 2, 5])
def test_tokens_become_a_square_without_the_special_ones(special):
  tokens = np.zeros((2, special + 16, 3), np.float32)
  for row in range(4):
    for column in range(4):
      tokens[:, special + 4 * row + column] = 10 * row + column
  places = to_places(tokens, "a", layout="NCHW")
  assert places.shape == (2, 4, 4, 3)
  assert (places[:, 2, 1] == 21).all()


@pytest.mark.parametrize("shape", [(3,), (1, 2, 3, 4, 5)])
def test_other_numbers_of_axes(shape):
  with pytest.raises(UserError, match=r"Layer a gives an array of shape"):
    to_places(np.zeros(shape, np.float32), "a", layout="NCHW")
