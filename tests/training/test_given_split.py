"""A split that is given is taken as it is."""

import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.training.splitting import given_split


def test_rows_by_part():
  split = given_split(["test", "train", "validation", "train"])
  assert [rows.tolist() for rows in split] == [[1, 3], [2], [0]]


@pytest.mark.parametrize("parts", [["train", "test"], ["train", "test", "dev"]])
def test_bad_parts(parts):
  with pytest.raises(UserError, match="train, validation, test"):
    given_split(parts)
