"""Annotations: what is read, and which line is to blame."""

import csv

import pytest

from milan_jax._src import errors
from milan_jax._src.records import Unit
from milan_jax._src.store import annotations as store


def write(path, text):
  path.write_text(text, encoding="utf-8")
  return path


def test_numeric_layers_stay_strings(tmp_path):
  path = write(
    tmp_path / "a.csv", "layer,unit,summary\n3,7,dogs\n03,7,cats\n3,7,dogs\n"
  )
  assert store.read_annotations(path) == {
    Unit("3", 7): ("dogs", "dogs"),
    Unit("03", 7): ("cats",),
  }


def test_what_is_written_is_read_back_in_its_order(tmp_path):
  annotations = {
    Unit("conv,1", 5): ('wool, "stairs"', "dogs\nand cats", "naïve"),
    Unit("1", 0): ("red",),
  }
  store.write_annotations(tmp_path / "annotations.csv", annotations)
  assert list(store.read_annotations(tmp_path).items()) == list(annotations.items())


def test_columns_may_stand_in_any_order(tmp_path):
  path = write(tmp_path / "a.csv", "\ufeffsummary,who,unit,layer\r\ndogs,x,4,l\r\n")
  assert store.read_annotations(path) == {Unit("l", 4): ("dogs",)}


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("layer,unit\nl,1\n", "first line must name .* but summary is missing"),
    ("", "first line must name"),
    ("layer,unit,summary\n", "has no annotations"),
    ("layer,unit,summary\nl,1,dogs\nl,2\n", "line 3: expected one field per column"),
    ("layer,unit,summary\nl,1,wool, stairs\n", "line 2: .*must be quoted"),
    ("layer,unit,summary\nl,-1,dogs\n", "line 2: .*whole number from 0, but got '-1'"),
    ("layer,unit,summary\nl,1.5,dogs\n", "line 2: .*but got '1.5'"),
    ("layer,unit,summary,sign\nl,1,dogs,x\n", "line 2: .*on or off, but got 'x'"),
    ("layer,unit,summary\n ,1,dogs\n", "line 2: the layer is empty"),
    ('layer,unit,summary\nl,1,"a\nb"\nl,1, \n', "line 4: the summary is empty"),
    ('layer,unit,summary\nl,1,"dogs\n', "invalid CSV after line 1"),
  ],
)
def test_a_malformed_file_names_the_line(tmp_path, text, message):
  path = write(tmp_path / "a.csv", text)
  with pytest.raises(errors.UserError, match=message):
    store.read_annotations(path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
  path = tmp_path / "a.csv"
  path.write_bytes(b"layer,unit,summary\nl,1,\xff\xfe\n")
  with pytest.raises(errors.UserError, match="line 2: not UTF-8"):
    store.read_annotations(path)


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(
    errors.UserError,
    match=r"annotations\.csv: expected a file of annotations, but there is none",
  ):
    store.read_annotations(tmp_path)


def test_the_published_annotations(annotations):
  found = store.read_annotations(annotations)
  assert len(found) == 3904
  assert sum(map(len, found.values())) == 11712
  assert found[Unit("layer3", 226)][1] == "wool, stairs and other patterned objects"
  with annotations.open() as file:
    rows = list(csv.reader(file))[1:]
  assert sorted(rows) == sorted(
    [unit.layer, str(unit.index), summary]
    for unit, summaries in found.items()
    for summary in summaries
  )
