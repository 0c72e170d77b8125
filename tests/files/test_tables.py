"""Tables as spreadsheets, pandas and editors write them, through every reader."""

import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.files.plain_text import read_text, whole_number
from milan_jax._src.files.tables import read_numbers
from milan_jax._src.probe.unit_selection import select_units
from milan_jax._src.records import Unit
from milan_jax._src.store.annotations import read_annotations
from milan_jax._src.store.splits import read_split

# The third column's name, the reader, and what it makes of "train" and "te;st, 1".
READERS = {
  "summary": (read_annotations, ("train",), ("te;st, 1",)),
  "split": (read_split, "train", "te;st, 1"),
}
TABLE = 'layer,unit,{}\nconv1,0,train\n3,12,"te;st, 1"\n'
SEMICOLONS = 'layer;unit;{}\nconv1;0;train\n3;12;"te;st, 1"\n'
WRITTEN = {
  "plain": lambda text: text.encode(),
  "by Excel": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
  "UTF-16": lambda text: text.encode("utf-16"),
  "UTF-16, big end first": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
  "UTF-32": lambda text: text.encode("utf-32"),
  "floats": lambda text: text.replace(",0,", ",0.0,").replace(",12,", ",12.,").encode(),
  "spaces": lambda text: text.replace(",0,", ", 0 ,").encode(),
  "capitals": lambda text: text.replace("layer,unit,", " Layer,UNIT,").encode(),
  "empty columns": lambda text: text.replace("\n", f"{text[5] * 2}\n").encode(),
  "empty rows": lambda text: f"{text}{text[5]}".replace("\n", "\n\n").encode(),
}


@pytest.fixture(params=READERS)
def reader(request):
  return request.param, *READERS[request.param]


@pytest.mark.parametrize("table", [TABLE, SEMICOLONS], ids=["commas", "semicolons"])
@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN)
def test_the_same_table_however_it_was_written(reader, write, table, tmp_path):
  column, read, first, second = reader
  path = tmp_path / "table.csv"
  path.write_bytes(write(table.format(column)))
  assert dict(read(path)) == {Unit("conv1", 0): first, Unit("3", 12): second}


def test_tabs_and_other_columns(reader, tmp_path):
  column, read, first, _ = reader
  path = tmp_path / "table.csv"
  path.write_text(f"who\t{column}\tlayer\tunit\nme\ttrain\tconv1\t0\n")
  assert dict(read(path)) == {Unit("conv1", 0): first}


BAD = {
  "Latin-1": (
    "layer,unit,{}\nconv1,0,caf\xe9\n".encode("latin-1"),
    "line 2: not UTF-8",
  ),
  "UTF-16 without its mark": ("layer,unit,{}\n".encode("utf-16-le"), "zero byte"),
  "half a number": (
    b"layer,unit,{}\nc,0.5,train\n",
    "line 2: expected a unit .* got '0.5'",
  ),
  "below zero": (b"layer,unit,{}\nc,-1,train\n", "line 2: expected a unit .* got '-1'"),
  "a power": (b"layer,unit,{}\nc,1e3,train\n", "line 2: expected a unit .* got '1e3'"),
  "huge": (b"layer,unit,{}\nc,99999999999999999999,train\n", "line 2: expected a unit"),
  "no layer": (b"layer,unit,{}\n ,1,train\n", "line 2: the layer is empty"),
  "short": (
    b"layer,unit,{}\nc,1,train\nc,1\n",
    "line 3: expected one field per column",
  ),
  "long": (b"layer,unit,{}\nc,1,train,x\n", "line 2: expected one field per column"),
  "a column twice": (b"layer,unit,layer,{}\nc,1,d,train\n", "column layer twice"),
  "no header": (b"c,1,train\n", "first line must name .* found c,1,train"),
  "empty": (b"", "first line must name .* found nothing"),
  "a long field": (b"layer,unit,{}\nc,1," + b"x" * 200_000, "invalid CSV after line 1"),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
def test_a_bad_table_is_refused_with_its_file_and_line(reader, data, message, tmp_path):
  column, read, *_ = reader
  path = tmp_path / "table.csv"
  mark = "{}".encode("utf-16-le") if b"\0" in data else b"{}"
  name = column.encode("utf-16-le" if b"\0" in data else "ascii")
  path.write_bytes(data.replace(mark, name))
  with pytest.raises(UserError, match=message) as caught:
    read(path)
  assert "table.csv" in str(caught.value)


def test_a_unit_in_two_rows_is_refused_with_both_lines(tmp_path):
  path = tmp_path / "table.csv"
  for repeat in ("test", "train"):
    path.write_text(f"layer,unit,split\nc,0,train\nc,1,test\nc,0.0,{repeat}\n")
    with pytest.raises(UserError, match="line 4: unit 0 of c is also in line 2"):
      read_split(path)


def test_numbers_with_semicolons_and_a_mark(tmp_path):
  path = tmp_path / "ids.csv"
  for text in ("1,2\n3,4\n", "\ufeff1;2\r\n3;4\r\n", "1\t2\n3\t4", "1.0,2.0\n3.,4\n"):
    path.write_text(text, newline="")
    found = read_numbers(path, np.dtype(np.int64), (2, 2))
    assert found.dtype == np.int64 and found.tolist() == [[1, 2], [3, 4]]
  assert read_numbers(path, np.dtype(np.float32), (2, 2)).dtype == np.float32


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("", "it is empty"),
    ("1,2\n3,a\n", "expected a table of numbers"),
    ("1,2\n3\n", "expected a table of numbers"),
    ("1,2\n", "expected 2 rows of 2"),
    ("1,2\n3,-4\n", "row 2: expected whole numbers from 0, found -4"),
    ("1,2.5\n3,4\n", "row 1: expected whole numbers from 0, found 2.5"),
    ("1,nan\n3,4\n", "row 1: expected whole numbers from 0, found nan"),
    ("1,1e30\n3,4\n", "row 1: expected whole numbers"),
  ],
)
def test_bad_numbers(text, message, tmp_path):
  path = tmp_path / "ids.csv"
  path.write_text(text)
  with pytest.raises(UserError, match=message) as caught:
    read_numbers(path, np.dtype(np.int64), (2, 2))
  assert "ids.csv" in str(caught.value)


def test_a_file_of_units(tmp_path):
  path = tmp_path / "units.txt"
  for data in (b"3\n5\n", b"\xef\xbb\xbf3\r\n5.0\r\n", "3\n5\n".encode("utf-16")):
    path.write_bytes(data)
    assert select_units(str(path), 8).tolist() == [3, 5]
  path.write_bytes(b"3\ncaf\xe9\n")
  with pytest.raises(UserError, match=r"units\.txt, line 2: not UTF-8"):
    select_units(str(path), 8)
  path.write_text("3\n-5\n")
  with pytest.raises(UserError, match=r"units\.txt: .* found '-5'"):
    select_units(str(path), 8)


def test_whole_numbers():
  texts = ("7", " 7.00 ", "007", "-1", "1e3", "\u0663", "", "2147483648", "1.01")
  assert [whole_number(text) for text in texts] == [7, 7, 7, *[None] * 6]


def test_a_file_that_cannot_be_read(tmp_path):
  with pytest.raises(UserError, match="cannot be read: Is a directory"):
    read_text(tmp_path)
