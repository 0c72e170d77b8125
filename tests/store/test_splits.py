"""Given splits."""

import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.records import Unit
from milan_jax._src.store.splits import read_split


def test_a_split_is_read_by_unit(tmp_path):
  path = tmp_path / "split.csv"
  path.write_text("layer,unit,split\n3,0,train\n3,1,test\na,0,validation\n")
  assert read_split(path) == {
    Unit("3", 0): "train",
    Unit("3", 1): "test",
    Unit("a", 0): "validation",
  }


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("layer,unit\na,0\n", "found layer,unit"),
    ("layer,unit,split\na,x,train\n", "line 2"),
    ("layer,unit,split\na,0,train\na,1\n", "line 3"),
  ],
)
def test_bad_splits(tmp_path, text, message):
  path = tmp_path / "split.csv"
  path.write_text(text)
  with pytest.raises(UserError, match=message):
    read_split(path)


def test_a_missing_split(tmp_path):
  with pytest.raises(UserError, match="found no file"):
    read_split(tmp_path / "split.csv")
