"""Writes files in the format of `torch.save`, without torch and without pickling code.

The file is the zip archive of PyTorch 1.6 and later: a pickle of the value, and one
record for each tensor. The pickle is written here, not by Python's `pickle`, so it can
hold nothing but plain values, tensors, and dictionaries of the classes in
`KNOWN_CLASSES`. The same value always gives the same bytes.
"""

import dataclasses
import hashlib
import os
import pathlib
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from milan_jax._src.files.atomic import atomic_path

# Subclasses of dict that a file may name, by module and name. thinc has had this name
# in all versions; newer ones define the class in confection.
KNOWN_CLASSES = frozenset({("thinc.config", "Config")})
_STORAGES = {
  "<f2": "HalfStorage",
  "<f4": "FloatStorage",
  "<f8": "DoubleStorage",
  "<i4": "IntStorage",
  "<i8": "LongStorage",
  "|u1": "ByteStorage",
  "|b1": "BoolStorage",
}
# torch uses this name, too, where it knows no file name.
_ROOT = "archive"
# Records begin at multiples of this, like torch's.
_ALIGNMENT = 64
_LOCAL_HEADER_SIZE = 30
_PADDING_FIELD = struct.Struct("<2sH")
_TUPLES = {0: b")", 1: b"\x85", 2: b"\x86", 3: b"\x87"}


@dataclasses.dataclass(frozen=True, slots=True)
class KnownDict:
  """A dictionary of one of `KNOWN_CLASSES`.

  The file holds the call of the class with a plain dictionary, which `torch.load` can
  make with `weights_only=True`; it fills no other subclass of dict item by item.

  Attributes:
    module: the module of its class.
    name: the name of its class.
    items: its items.
  """

  module: str
  name: str
  items: Mapping[str, Any]


def write_torch_file(path: str | os.PathLike[str], value: Any) -> None:
  """Writes a value that `torch.load` and `read_torch_file` read, atomically.

  Args:
    path: the file; an existing one is replaced.
    value: None, bool, int, float, str, bytes, `KnownDict`, NumPy arrays, which are read
      as tensors, and tuples, lists and dictionaries of these.

  Raises:
    TypeError: if the value holds anything else.
    ValueError: if a class is not in `KNOWN_CLASSES`.
  """
  path = pathlib.Path(path)
  tensors: list[np.ndarray] = []
  pickled = _pickled(value, tensors)
  digest = hashlib.sha256(pickled)
  with atomic_path(path) as staging, zipfile.ZipFile(staging, "w") as archive:
    _add(archive, f"{_ROOT}/data.pkl", pickled)
    _add(archive, f"{_ROOT}/byteorder", b"little")
    for number, tensor in enumerate(tensors):
      data = tensor.reshape(-1).view(np.uint8).data
      digest.update(data)
      _add(archive, f"{_ROOT}/data/{number}", data)
    _add(archive, f"{_ROOT}/version", b"3\n")
    # torch writes a number of 40 digits here, too.
    number = int(digest.hexdigest(), 16) % 10**40
    _add(archive, f"{_ROOT}/.data/serialization_id", f"{number:040d}".encode())


def _add(archive: zipfile.ZipFile, name: str, data: bytes | memoryview) -> None:
  """Adds an uncompressed record at an aligned offset, with a fixed date."""
  entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
  entry.external_attr = 0o644 << 16
  assert archive.fp is not None, "it is open"
  start = archive.fp.tell() + _LOCAL_HEADER_SIZE + len(name.encode())
  padding = -(start + _PADDING_FIELD.size) % _ALIGNMENT
  entry.extra = _PADDING_FIELD.pack(b"FB", padding) + b"Z" * padding
  archive.writestr(entry, data)


def _pickled(value: Any, tensors: list[np.ndarray]) -> bytes:
  """Pickles a value by protocol 2, the one of `torch.save`; collects its tensors."""
  parts: list[bytes] = [b"\x80\x02"]
  _put(value, parts, tensors)
  parts.append(b".")
  return b"".join(parts)


def _put(value: Any, parts: list[bytes], tensors: list[np.ndarray]) -> None:
  # A bool is an int, too.
  if value is None or isinstance(value, bool):
    parts.append({None: b"N", True: b"\x88", False: b"\x89"}[value])
  elif isinstance(value, int):
    parts.append(_integer(value))
  elif isinstance(value, float):
    parts.append(b"G" + struct.pack(">d", value))
  elif isinstance(value, str):
    parts.append(_text(value))
  elif isinstance(value, bytes):
    # Protocol 2 has no bytes.
    parts += [_name("_codecs", "encode"), _text(value.decode("latin1"))]
    parts += [_text("latin1"), _TUPLES[2], b"R"]
  elif isinstance(value, tuple):
    _put_tuple(value, parts, tensors)
  elif isinstance(value, list):
    parts += [b"]", b"("]
    for item in value:
      _put(item, parts, tensors)
    parts.append(b"e")
  elif isinstance(value, dict):
    parts += [b"}", b"("]
    for pair in value.items():
      for item in pair:
        _put(item, parts, tensors)
    parts.append(b"u")
  elif isinstance(value, KnownDict):
    if (value.module, value.name) not in KNOWN_CLASSES:
      raise ValueError(
        f"{value.module}.{value.name} is not a class that may be written"
      )
    parts.append(_name(value.module, value.name))
    _put((dict(value.items),), parts, tensors)
    parts.append(b"R")
  elif isinstance(value, np.ndarray):
    _put_tensor(value, parts, tensors)
  else:
    raise TypeError(f"a {type(value).__name__} cannot be written")


def _put_tuple(
  value: tuple[Any, ...], parts: list[bytes], tensors: list[np.ndarray]
) -> None:
  if len(value) > 3:
    parts.append(b"(")
  for item in value:
    _put(item, parts, tensors)
  parts.append(_TUPLES.get(len(value), b"t"))


def _put_tensor(
  array: np.ndarray, parts: list[bytes], tensors: list[np.ndarray]
) -> None:
  """Writes the call that makes torch view a storage as a contiguous tensor."""
  shape = array.shape
  array = np.ascontiguousarray(array).reshape(shape)
  if array.dtype.str not in _STORAGES:
    raise TypeError(f"an array of {array.dtype} cannot be written as a tensor")
  strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
  parts += [_name("torch._utils", "_rebuild_tensor_v2"), b"("]
  parts += [b"(", _text("storage"), _name("torch", _STORAGES[array.dtype.str])]
  parts += [_text(str(len(tensors))), _text("cpu"), _integer(array.size), b"t", b"Q"]
  parts.append(_integer(0))
  _put_tuple(shape, parts, tensors)
  _put_tuple(strides, parts, tensors)
  # It needs no gradient and has no hooks.
  parts += [b"\x89", _name("collections", "OrderedDict"), _TUPLES[0], b"R", b"t", b"R"]
  tensors.append(array)


def _integer(value: int) -> bytes:
  if 0 <= value < 2**8:
    return b"K" + struct.pack("<B", value)
  if -(2**31) <= value < 2**31:
    return b"J" + struct.pack("<i", value)
  size = value.bit_length() // 8 + 1
  return b"\x8a" + struct.pack("<B", size) + value.to_bytes(size, "little", signed=True)


def _text(value: str) -> bytes:
  encoded = value.encode("utf-8", "surrogatepass")
  return b"X" + struct.pack("<I", len(encoded)) + encoded


def _name(module: str, name: str) -> bytes:
  return f"c{module}\n{name}\n".encode("ascii")
