"""Reads files written by `torch.save` without torch and without running their code.

Both formats are supported: the zip archive of PyTorch 1.6 and later, and the older
sequence of pickles. Tensors are read-only NumPy views of the memory-mapped file, so
only the values that are used take memory. bfloat16, which NumPy lacks, becomes a
float32 copy. Tensors that share a storage in the file also share it here. Values that
are neither tensors nor plain containers become `OpaqueObject` records.

The checksum of every record of a zip archive is verified. The older format has no
checksums, and torch can write archives without them.
"""

import dataclasses
import io
import mmap
import os
import pathlib
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import safetensors

from milan_jax._src.errors import UserError
from milan_jax._src.weights import pickle_reader
from milan_jax._src.weights.pickle_reader import Name, OpaqueObject

_BFLOAT16 = "BFloat16Storage"
_DTYPES: dict[str, np.dtype[Any]] = {
  "HalfStorage": np.dtype("<f2"),
  "FloatStorage": np.dtype("<f4"),
  "DoubleStorage": np.dtype("<f8"),
  _BFLOAT16: np.dtype("<u2"),
  "ByteStorage": np.dtype("u1"),
  "CharStorage": np.dtype("i1"),
  "ShortStorage": np.dtype("<i2"),
  "IntStorage": np.dtype("<i4"),
  "LongStorage": np.dtype("<i8"),
  "BoolStorage": np.dtype("?"),
  "ComplexFloatStorage": np.dtype("<c8"),
  "ComplexDoubleStorage": np.dtype("<c16"),
}
_STORAGE_MODULES = ("torch", "torch.cuda", "torch.storage")
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_LOCAL_HEADER = struct.Struct("<26xHH")  # zip entry: lengths of name and extra field
_COUNT = struct.Struct("<q")
# Exceptions that a damaged file can cause in the reader.
_DAMAGE = (ValueError, TypeError, LookupError, OverflowError, struct.error)


@dataclasses.dataclass(frozen=True, slots=True)
class _Storage:
  """A storage in a persistent id: `count` values of type `kind`, stored as `key`."""

  kind: str
  key: str
  count: int

  @property
  def num_bytes(self) -> int:
    return self.count * _DTYPES[self.kind].itemsize


def read_torch_file(path: str | os.PathLike[str]) -> Any:
  """Reads a value saved by `torch.save(value, path)`.

  Raises:
    UserError: if the file is missing, truncated, not a torch file, a TorchScript
      archive, or big-endian.
  """
  path = pathlib.Path(path)
  with _open(path) as file:
    if file.read(4) == b"":
      raise UserError(f"{path} is empty: expected a file written by torch.save")
    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
  try:
    if data[:4] == b"PK\x03\x04":
      return _read_zip(data, path)
    return _read_legacy(data, path)
  except UserError:
    raise
  except _DAMAGE as error:
    raise UserError(
      f"{path} cannot be read as a torch file ({error}): it is truncated or damaged; "
      "download it again"
    ) from error


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  """Reads all tensors of a safetensors file with their stored dtypes.

  bfloat16, which NumPy lacks, becomes float32.

  Raises:
    UserError: if the file is missing, truncated or not a safetensors file, or has a
      tensor of an unsupported dtype, such as an 8-bit float.
  """
  path = pathlib.Path(path)
  _open(path).close()
  try:
    with safetensors.safe_open(path, framework="numpy") as file:
      return {name: _tensor_of(file, name, path) for name in list(file.keys())}
  except safetensors.SafetensorError as error:
    raise UserError(
      f"{path} cannot be read as safetensors ({error}): it is truncated, damaged or "
      "another kind of file"
    ) from error


def _tensor_of(file: Any, name: str, path: pathlib.Path) -> np.ndarray:
  try:
    array: np.ndarray = file.get_tensor(name)
  except (TypeError, ValueError, AttributeError) as error:  # a dtype that NumPy lacks
    kind = file.get_slice(name).get_dtype()
    raise UserError(
      f"{path} has {name!r} of the unsupported dtype {kind}: save it as float32"
    ) from error
  if array.dtype == ml_dtypes.bfloat16:
    array = array.astype(np.float32)
  return array


def _open(path: pathlib.Path) -> io.BufferedReader:
  try:
    return path.open("rb")
  except OSError as error:
    raise UserError(f"{path} cannot be opened: {error.strerror}") from error


def say_value(value: Any) -> str:
  """Describes a value that was read, for messages."""
  if isinstance(value, OpaqueObject):
    return f"a pickled {value.module}.{value.name}"
  if isinstance(value, dict):
    return f"a dict of {', '.join(map(repr, list(value)[:5])) or 'nothing'}"
  return f"a value of type {type(value).__name__}"


# The two formats.


def _read_zip(data: mmap.mmap, path: pathlib.Path) -> Any:
  try:
    with zipfile.ZipFile(path) as archive:
      entries = {entry.filename: entry for entry in archive.infolist()}
  except (zipfile.BadZipFile, NotImplementedError) as error:
    raise UserError(
      f"{path} begins as a torch file but its end is missing ({error}): it is "
      "truncated; download it again"
    ) from error
  roots = [name.removesuffix("data.pkl") for name in entries if _is_value(name)]
  if len(roots) != 1:
    raise UserError(f"{path} is a zip archive, but torch.save did not write it")
  root = roots[0]
  if f"{root}constants.pkl" in entries:
    raise UserError(
      f"{path} is a TorchScript archive, which contains a program: save the model's "
      "state_dict() with torch.save instead"
    )

  has_checksums = any(entry.CRC for entry in entries.values())

  def record(name: str) -> memoryview:
    entry = entries[root + name]
    if entry.compress_type != zipfile.ZIP_STORED:
      raise ValueError(f"the record {name!r} is compressed")
    start = entry.header_offset + _LOCAL_HEADER.size
    start += sum(_LOCAL_HEADER.unpack_from(data, entry.header_offset))
    found = _span(data, start, entry.file_size)
    if has_checksums:
      if zlib.crc32(found) != entry.CRC:
        raise ValueError(f"the record {name!r} does not match its checksum")
      _forget_pages(data)
    return found

  if f"{root}byteorder" in entries:
    _check_byte_order(bytes(record("byteorder")) == b"little", path)
  pickle = io.BytesIO(record("data.pkl"))
  return _unpickle(pickle, lambda storage: record(f"data/{storage.key}"))


def _forget_pages(data: mmap.mmap) -> None:
  """Releases the resident pages of a mapped file from the process's memory."""
  if hasattr(mmap, "MADV_DONTNEED"):
    data.madvise(mmap.MADV_DONTNEED)


def _is_value(name: str) -> bool:
  return name.count("/") == 1 and name.endswith("/data.pkl")


def _read_legacy(data: mmap.mmap, path: pathlib.Path) -> Any:
  """Reads magic number, protocol, machine, value and storage keys, then the storages.

  The storages come after the value that uses them, so the value is read twice: first to
  collect the storages' types and sizes, then to build it.
  """
  try:
    magic = _plain(data)
  except pickle_reader.MalformedPickleError:
    magic = None
  if magic != _LEGACY_MAGIC:
    raise UserError(
      f"{path} is not a torch file: it begins with {data[:16]!r}, but torch.save "
      "writes a zip archive or, before PyTorch 1.6, a pickle with a magic number"
    )
  if _plain(data) != _LEGACY_PROTOCOL:
    raise UserError(f"{path} has an unknown torch format: save it again")
  _check_byte_order(_plain(data)["little_endian"] is True, path)

  start = data.tell()
  found: dict[str, _Storage] = {}

  def note(persistent_id: Any) -> _Storage | OpaqueObject | Name:
    storage = _storage(persistent_id)
    if isinstance(storage, _Storage):
      found[storage.key] = storage
    elif isinstance(storage, OpaqueObject):
      # Its length is unknown, so the next storage cannot be found.
      raise ValueError(f"its {storage.name} has an unsupported dtype")
    return storage

  pickle_reader.read(data, constructors={}, persistent=note)
  spans = {}
  for key in _plain(data):
    storage = found[key]
    if _COUNT.unpack(data.read(_COUNT.size)) != (storage.count,):
      raise ValueError(f"storage {key} does not have {storage.count} values")
    spans[key] = _span(data, data.tell(), storage.num_bytes)
    data.seek(storage.num_bytes, io.SEEK_CUR)
  data.seek(start)
  return _unpickle(data, lambda storage: spans[storage.key])


def _plain(data: mmap.mmap) -> Any:
  """Reads a pickle that contains no tensors."""
  return pickle_reader.read(data, constructors={}, persistent=_storage)


def _span(data: mmap.mmap, start: int, size: int) -> memoryview:
  if not 0 <= start <= start + size <= len(data):
    raise ValueError("a tensor extends beyond the end of the file")
  return memoryview(data)[start : start + size]


def _check_byte_order(is_little: bool, path: pathlib.Path) -> None:
  if not is_little:
    raise UserError(
      f"{path} was written on a big-endian machine: save it again on a little-endian "
      "one"
    )


# Tensors.


def _unpickle(
  pickle: io.BytesIO | mmap.mmap, storage_bytes: Callable[[_Storage], memoryview]
) -> Any:
  """Reads a value with tensors; looks up each of their storages once."""
  values: dict[str, np.ndarray] = {}

  def persistent(persistent_id: Any) -> Any:
    storage = _storage(persistent_id)
    if not isinstance(storage, _Storage):
      return storage
    if storage.key not in values:
      values[storage.key] = _storage_values(storage, storage_bytes(storage))
    start, stop = _part(persistent_id, storage)
    return values[storage.key][start:stop]

  return pickle_reader.read(pickle, constructors=_CONSTRUCTORS, persistent=persistent)


def _storage(persistent_id: Any) -> _Storage | OpaqueObject | Name:
  """Reads a persistent id: ("storage", type, key, device, count, view or None).

  Old files also use one for the class of a model: ("module", class, file, source).
  """
  if persistent_id[0] == "module" and isinstance(persistent_id[1], Name):
    return persistent_id[1]
  tag, kind, key, _, count = persistent_id[:5]
  if not (tag == "storage" and isinstance(kind, Name) and _is_count(count)):
    raise ValueError("a persistent id has a form that torch does not write")
  if kind.module not in _STORAGE_MODULES or kind.name not in _DTYPES:
    return OpaqueObject(kind.module, kind.name, persistent_id)
  return _Storage(kind.name, str(key), count)


def _part(persistent_id: Any, storage: _Storage) -> tuple[int, int]:
  """Returns the range of a view (only in old files) in its root storage."""
  view = persistent_id[5] if len(persistent_id) > 5 else None
  if view is None:
    return 0, storage.count
  _, offset, count = view
  if not (_is_count(offset) and _is_count(count) and offset + count <= storage.count):
    raise ValueError("a view extends beyond its storage")
  return offset, offset + count


def _storage_values(storage: _Storage, data: memoryview) -> np.ndarray:
  dtype = _DTYPES[storage.kind]
  if storage.count == 0:
    return np.empty(0, dtype)
  values = np.frombuffer(data, dtype, storage.count)
  if storage.kind == _BFLOAT16:  # the upper half of a float32
    return (values.astype("<u4") << 16).view("<f4")
  return values


def _is_count(value: Any) -> bool:
  return isinstance(value, int) and value >= 0


def _tensor(values: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Any:
  """Views part of a storage; strides and offset count values, not bytes."""
  if isinstance(values, OpaqueObject):  # an unsupported dtype
    return values
  if not all(map(_is_count, (offset, *shape, *strides))) or len(shape) != len(strides):
    raise ValueError("a tensor has an invalid shape")
  if 0 in shape:
    return np.empty(shape, values.dtype)
  last = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
  if offset + last >= values.size:
    raise ValueError("a tensor extends beyond its storage")
  return np.lib.stride_tricks.as_strided(
    values[offset:],
    shape,
    [stride * values.itemsize for stride in strides],
    writeable=False,
  )


def _encode(text: str, coding: str) -> bytes:
  """Decodes bytes as Python 2 pickled them; other codecs would run code."""
  if coding != "latin1":
    raise ValueError(f"bytes have the unsupported encoding {coding!r}")
  return text.encode("latin1")


_CONSTRUCTORS: dict[tuple[str, str], Callable[..., Any]] = {
  ("collections", "OrderedDict"): dict,
  ("torch", "Size"): tuple,
  ("torch._utils", "_rebuild_tensor"): _tensor,
  ("torch._utils", "_rebuild_tensor_v2"): _tensor,
  ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
  ("torch._utils", "_rebuild_parameter_with_state"): lambda tensor, *_: tensor,
  ("_codecs", "encode"): _encode,
  **{
    (module, kind.__name__): kind
    for module in ("builtins", "__builtin__")
    for kind in (dict, list, tuple, set, frozenset)
  },
}
