import concurrent.futures
import gzip
import pickle
import struct
import zlib

import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.images import tfrecord
from milan_jax._src.images.source import UnreadableImageError
from milan_jax._src.images.tfrecord import RecordRange, TfRecords

# Written by TensorFlow: the first records of a file of grain's own tests.
BY_TENSORFLOW = bytes.fromhex(
  "0100000000000000 0175de41 31 c30c4ad6"
  "0300000000000000 b099490e 312031 59bed8de"
  "0300000000000000 b099490e 322031 b4f2345f"
)
RECORDS = [b"", b"one", bytes(range(256)), b"last"]


def crc32c(data):
  crc = 0xFFFFFFFF
  for byte in data:
    crc ^= byte
    for _ in range(8):
      crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
  return crc ^ 0xFFFFFFFF


def checksum(data):
  crc = crc32c(data)
  return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def write_records(path, records):
  """Writes a TFRecord file with the same bytes as TensorFlow."""
  with path.open("wb") as file:
    for record in records:
      length = struct.pack("<Q", len(record))
      file.write(length + checksum(length) + record + checksum(record))


@pytest.fixture
def path(tmp_path):
  write_records(tmp_path / "records", RECORDS)
  return tmp_path / "records"


def test_a_file_that_tensorflow_wrote(tmp_path):
  write_records(tmp_path / "ours", [b"1", b"1 1", b"2 1"])
  assert (tmp_path / "ours").read_bytes() == BY_TENSORFLOW
  records = TfRecords([RecordRange(tmp_path / "ours")])
  assert [records[index] for index in range(3)] == [b"1", b"1 1", b"2 1"]


def test_parts_of_several_files(path, tmp_path):
  other = tmp_path / "other"
  write_records(other, [b"a", b"b"])
  write_records(tmp_path / "none", [])
  parts = [
    RecordRange(other, 1, 2, 2),
    RecordRange(tmp_path / "none"),
    RecordRange(path, 1),
    RecordRange(path, 0, 2),
  ]
  records = TfRecords(iter(parts))
  taken = [b"b", *RECORDS[1:], *RECORDS[:2]]
  assert len(records) == len(taken) == 6
  assert list(records) == taken
  for wrong in (6, -1):
    with pytest.raises(IndexError, match="of 6"):
      records[wrong]
  assert len(TfRecords([])) == 0


def test_threads_and_another_process(tmp_path):
  """The pickle has eight bytes per record and no open file."""
  contents = [bytes([index % 251]) * (index % 7 * 100) for index in range(1000)]
  write_records(tmp_path / "many", contents)
  records = TfRecords([RecordRange(tmp_path / "many", 500)])
  sent = pickle.dumps(records)
  assert len(sent) < 8 * 501 + 1000
  again = pickle.loads(sent)
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert list(pool.map(again.__getitem__, range(500))) == contents[500:]


@pytest.mark.parametrize("missing", [1, 4, 10, 21])
def test_a_file_that_is_cut_short(path, missing):
  content = path.read_bytes()
  path.write_bytes(content[:-missing])
  with pytest.raises(UserError, match="records is truncated or corrupt") as error:
    TfRecords([RecordRange(path)])
  start = len(content) - 4 - 16
  if missing < 20:
    assert f"at byte {start}, found {20 - missing} bytes" in str(error.value)


def test_a_length_that_cannot_be(path):
  content = path.read_bytes()
  path.write_bytes(content[:16] + struct.pack("<Q", 2**64 - 1) + content[24:])
  with pytest.raises(UserError, match=f"record of {2**64 - 1} bytes .* at byte 16"):
    TfRecords([RecordRange(path)])
  path.write_bytes(b"version https://git-lfs.github.com/spec/v1")
  with pytest.raises(UserError, match="truncated or corrupt"):
    TfRecords([RecordRange(path)])


def test_other_files_than_expected(path, tmp_path):
  with pytest.raises(UserError, match="expected 5 records, found 4"):
    TfRecords([RecordRange(path, total=5)])
  with pytest.raises(UserError, match="absent cannot be read"):
    TfRecords([RecordRange(tmp_path / "absent")])
  with pytest.raises(ValueError, match="no records 2 to 5 among 4"):
    TfRecords([RecordRange(path, 2, 5)])
  records = TfRecords([RecordRange(path)])
  write_records(path, [b"another", *RECORDS])
  with pytest.raises(UserError, match="was changed while it was in use"):
    records[1]
  path.unlink()
  with pytest.raises(UserError, match="was changed while it was in use"):
    records[0]


@pytest.mark.parametrize(
  "compress",
  [lambda data: gzip.compress(data, mtime=0)]
  + [lambda data, level=level: zlib.compress(data, level) for level in (0, 1, 6, 9)],
)
def test_compressed_files_are_refused(path, compress):
  path.write_bytes(compress(path.read_bytes() * 50))
  with pytest.raises(UserError, match=r"is compressed .* without compression"):
    TfRecords([RecordRange(path)])


def test_a_length_that_looks_like_compression(path):
  """The magic bytes of GZIP are the length 559903, and those of ZLIB 376."""
  records = [b"x" * int.from_bytes(b"\x1f\x8b\x08", "little"), b"y" * 0x0178]
  for record in records:
    write_records(path, [record[:20]])
    content = struct.pack("<Q", len(record)) + path.read_bytes()[8:-4] + record[20:]
    path.write_bytes(content + bytes(4))
    assert TfRecords([RecordRange(path)])[0] == record
    path.write_bytes(content)
    with pytest.raises(UserError, match="truncated or corrupt"):
      TfRecords([RecordRange(path)])


def test_data_against_its_checksum(path, monkeypatch):
  content = bytearray(path.read_bytes())
  content[16 + 12] ^= 1
  path.write_bytes(content)
  records = TfRecords([RecordRange(path)])
  monkeypatch.setattr(tfrecord, "_CRC32C", None)
  assert records[1] == b"nne"
  monkeypatch.setattr(tfrecord, "_CRC32C", crc32c)
  assert [records[index] for index in (0, 2, 3)] == [RECORDS[i] for i in (0, 2, 3)]
  with pytest.raises(UnreadableImageError, match=r"at byte 16 of .* checksum"):
    records[1]
