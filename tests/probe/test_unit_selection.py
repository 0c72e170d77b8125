import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.probe.unit_selection import (
  describe_layers,
  select_layers,
  select_units,
)
from milan_jax._src.records import LayerShape

NAMES = ("stem", "blocks.0.bn1", "blocks.0.bn2", "blocks.1.bn1", "head", "odd[0]")


@pytest.mark.parametrize(
  ("selection", "chosen"),
  [
    ("head", ("head",)),
    (" head , stem,", ("head", "stem")),
    ("blocks.*.bn1", ("blocks.0.bn1", "blocks.1.bn1")),
    ("head,*", ("head", "stem", *NAMES[1:4], "odd[0]")),
    ("odd[0]", ("odd[0]",)),
    ("blocks.?.bn2,blocks*", ("blocks.0.bn2", "blocks.0.bn1", "blocks.1.bn1")),
    ("0,-2,head", ("stem", "head")),
  ],
)
def test_layers(selection, chosen):
  assert select_layers(NAMES, selection) == chosen


def test_another_name_of_a_layer():
  assert select_layers(NAMES, "node_7,head", {"node_7": "stem"}) == ("stem", "head")
  assert select_layers(NAMES, "head", {"head": "stem"}) == ("head",)


def test_a_number_that_is_a_name_is_a_name():
  assert select_layers(("b", "0", "a"), "0,2") == ("0", "a")


@pytest.mark.parametrize("index", ["6", "-7"])
def test_an_index_beyond_the_layers(index):
  with pytest.raises(UserError, match=f"no layer {index}: the model has layers 0 to 5"):
    select_layers(NAMES, index)


def test_an_unknown_layer_names_the_near_ones():
  with pytest.raises(UserError, match=r"no layer 'block.0.bn1'.*blocks\.0\.bn1"):
    select_layers(NAMES, "stem,block.0.bn1")
  with pytest.raises(UserError, match=r"Did you mean .*blocks\.0\.bn1"):
    select_layers(NAMES, "stem,blocks")
  with pytest.raises(
    UserError, match=r"no layer 'zzzzzz'\. network\.probe\.layers\(\) shows"
  ):
    select_layers(NAMES, "zzzzzz")
  with pytest.raises(UserError, match="No layer is selected"):
    select_layers(NAMES, " ,")


def test_the_table_of_layers():
  table = describe_layers(
    [
      LayerShape("stem", 112, 112, 32, (2, 32, 112, 112), "NCHW"),
      LayerShape("a.long.name", 7, 7, 1280, (2, 50, 1280), "NLC:special=1"),
    ]
  )
  assert table.splitlines() == [
    "   layer                 array  read as        positions  units",
    "0  stem         32 x 112 x 112  NCHW           112 x 112     32",
    "1  a.long.name       50 x 1280  NLC:special=1      7 x 7   1280",
  ]


@pytest.mark.parametrize(
  ("selection", "chosen"),
  [
    ("", list(range(8))),
    ("3,5,1,3", [1, 3, 5]),
    ("0:4", [0, 1, 2, 3]),
    ("6:100", [6, 7]),
    (":8:3,7", [0, 3, 6, 7]),
  ],
)
def test_units(selection, chosen):
  np.testing.assert_array_equal(select_units(selection, 8), chosen)


def test_units_from_a_file(tmp_path):
  path = tmp_path / "units.txt"
  path.write_text("5\n\n2\n")
  assert select_units(str(path), 8).tolist() == [2, 5]
  path.write_text("5\nfive\n")
  with pytest.raises(UserError, match="one index per line"):
    select_units(str(path), 8)


@pytest.mark.parametrize(
  ("selection", "message"),
  [
    ("8", "no unit 8: the layer has units 0 to 7"),
    ("8:9", "select none"),
    ("a:b", "no such file"),
    ("-1", "no such file"),
    ("0:8:0", "no such file"),
    ("1:2:3:4", "no such file"),
  ],
)
def test_units_that_are_not_there(selection, message):
  with pytest.raises(UserError, match=message):
    select_units(selection, 8)


def test_all_units_by_word():
  np.testing.assert_array_equal(select_units("all", 3), [0, 1, 2])


def test_a_model_without_layers_is_no_empty_table():
  with pytest.raises(UserError, match=r"no layer that can be read .*Sequential"):
    describe_layers(())
