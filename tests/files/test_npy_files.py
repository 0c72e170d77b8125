"""NumPy files: what a header says is compared with the file before it is believed."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.files.npy_files import open_npy, read_npz

ARRAY = np.arange(12, dtype=np.float32).reshape(3, 4)


def npy(header: str, data: bytes = ARRAY.tobytes()) -> bytes:
  text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
  return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def header(shape, descr="'<f4'", order="False"):
  return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


@pytest.mark.parametrize(
  "array",
  [ARRAY, np.asfortranarray(ARRAY), ARRAY[:0], np.array(3), np.ones((2, 1), bool)],
  ids=["plain", "columns first", "empty", "no axes", "booleans"],
)
def test_what_numpy_writes_is_read(array, tmp_path):
  np.save(tmp_path / "a.npy", array)
  found = open_npy(tmp_path / "a.npy", shape=array.shape)
  assert found.dtype == array.dtype
  np.testing.assert_array_equal(found, array)


def test_version_two_of_the_format(tmp_path):
  with (tmp_path / "a.npy").open("wb") as file:
    np.lib.format.write_array(file, ARRAY, version=(2, 0))
  np.testing.assert_array_equal(open_npy(tmp_path / "a.npy"), ARRAY)


BAD = {
  "a billion rows": (
    npy(header("(1000000000, 4)")),
    r"16,000,000,000 bytes, but the file has 48",
  ),
  "more than fits": (npy(header("(10**9,)")), "corrupt"),
  "beyond any file": (npy(header(f"({2**62}, {2**62})")), "but the file has 48"),
  "below zero": (npy(header("(-1, 4)")), "has the invalid shape"),
  "both below zero": (npy(header("(-3, -4)")), "has the invalid shape"),
  "objects": (npy(header("(3,)", "'|O'")), "Python objects"),
  "no such type": (npy(header("(3, 4)", "'<q9'")), "corrupt"),
  "a shape of text": (npy(header("'ab'")), "corrupt"),
  "half a header": (npy("{'descr': '<f4', "), "corrupt"),
  "brackets": (npy("(" * 60), "corrupt"),
  "cut short": (npy(header("(3, 4)"))[:-1], "but the file has 47"),
  "too long": (npy(header("(3, 4)")) + b"x", "but the file has 49"),
  "empty": (b"", "corrupt"),
  "another version": (b"\x93NUMPY\x07\x00" + npy(header("(3, 4)"))[8:], "corrupt"),
  "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "corrupt"),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
def test_a_damaged_file_asks_for_no_memory(data, message, tmp_path):
  (tmp_path / "a.npy").write_bytes(data)
  tracemalloc.start()
  with pytest.raises(UserError, match=message) as caught:
    open_npy(tmp_path / "a.npy", remedy="fetch it")
  assert tracemalloc.get_traced_memory()[1] < 10_000_000
  tracemalloc.stop()
  assert "a.npy" in str(caught.value) and "fetch it" in str(caught.value)
  with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
    archive.writestr("x.npy", data)
  with pytest.raises(UserError, match=r"a\.npz is not a readable \.npz"):
    read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize(
  ("expected", "message"),
  [
    ({"kinds": "iu"}, r"expected integers, found float32"),
    ({"shape": (3,)}, r"of shape \(3\), found float32 of shape \(3, 4\)"),
    ({"shape": (None, 5)}, r"of shape \(any, 5\), found"),
    ({"kinds": "b", "shape": (3, 4)}, "expected booleans of shape"),
  ],
)
def test_another_array_than_is_expected(expected, message, tmp_path):
  np.save(tmp_path / "a.npy", ARRAY)
  with pytest.raises(UserError, match=message):
    open_npy(tmp_path / "a.npy", **expected)


def test_a_missing_file(tmp_path):
  with pytest.raises(UserError, match=r"a\.npy is missing: make it again"):
    open_npy(tmp_path / "a.npy")
  with pytest.raises(UserError, match=r"a\.npz is missing"):
    read_npz(tmp_path / "a.npz")


def test_archives_are_read_whole_and_their_checksums_compared(tmp_path):
  path = tmp_path / "a.npz"
  np.savez(path, x=ARRAY, y=np.array("words"))
  found = read_npz(path)
  np.testing.assert_array_equal(found["x"], ARRAY)
  assert str(found["y"]) == "words"
  whole = path.read_bytes()
  place = whole.index(ARRAY.tobytes()) + 5
  path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
  with pytest.raises(UserError, match=r"a\.npz is not a readable"):
    read_npz(path)
  path.write_bytes(whole[:-30])
  with pytest.raises(UserError, match=r"a\.npz is not a readable"):
    read_npz(path)
  stream = io.BytesIO()
  np.save(stream, np.array([{}], object), allow_pickle=True)
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("x.npy", stream.getvalue())
  with pytest.raises(UserError, match="Python objects"):
    read_npz(path)
