import numpy as np
import pytest
import torch
from torch import nn

from milan_jax._src.errors import UserError
from milan_jax._src.probe.protocol import Probe
from milan_jax._src.probe.torch_module import TorchProbe
from milan_jax._src.probe.torch_program import ProgramProbe


class Block(nn.Module):
  """One in-place ReLU used twice, and an in-place sum."""

  def __init__(self, channels):
    super().__init__()
    self.conv = nn.Conv2d(channels, channels, 3, padding=1)
    self.norm = nn.BatchNorm2d(channels)
    self.relu = nn.ReLU(inplace=True)

  def forward(self, x):
    out = self.norm(self.relu(self.conv(x)))
    out += x
    return self.relu(out)


class Model(nn.Module):
  def __init__(self):
    super().__init__()
    self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU6(inplace=True))
    self.block = Block(6)
    self.drop = nn.Dropout()
    self.head = nn.Linear(6, 4)

  def forward(self, x):
    x = self.block(self.stem(x)) * 3
    x = self.drop(x.clamp(0.5, 2))
    return self.head(x.mean((2, 3)))


@pytest.fixture(scope="module")
def model():
  torch.manual_seed(0)
  model = Model().eval()
  with torch.no_grad():
    model.stem[0].weight *= 10
    model.block.norm.running_mean += 0.3
  return model


@pytest.fixture(scope="module")
def images():
  return np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), np.uint8)


def export(model, batch, shape=(3, 16, 16), **options):
  return torch.export.export(model.eval(), (torch.zeros(batch, *shape),), **options)


def dynamic(**bounds):
  return {"dynamic_shapes": ({0: torch.export.Dim("batch", **bounds)},)}


def same(ours, theirs):
  assert ours.keys() == theirs.keys()
  for name in ours:
    assert ours[name].dtype == np.float32
    np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5, err_msg=name)


MODULES = (
  *("stem.0", "stem.1", "stem"),
  *("block.conv", "block.relu#0", "block.norm", "block.relu#1", "block"),
  *("drop", "head"),
)


# A warning of torch itself while it decomposes a program.
@pytest.mark.filterwarnings("ignore:`isinstance.treespec:FutureWarning")
@pytest.mark.parametrize(
  "options", [{}, {"strict": True}, {"decomposed": True}], ids=str
)
def test_a_program_is_read_as_its_module_is(model, images, options):
  options = dict(options)
  decomposed = options.pop("decomposed", False)
  program = export(model, 2, **dynamic(), **options)
  probe = ProgramProbe(program.run_decompositions() if decomposed else program)
  eager = TorchProbe(model, 16)
  assert isinstance(probe, Probe)
  assert probe.image_size == 16
  assert [shape.name for shape in eager.layers()] == list(MODULES)
  listed = {shape.name: shape for shape in probe.layers()}
  assert [name for name in listed if name in MODULES] == list(MODULES)
  for shape in eager.layers():
    assert listed[shape.name] == shape
  same(probe.activations(images, MODULES), eager.activations(images, MODULES))
  # Tensors found to be overwritten are copied from then on.
  again = probe.activations(images, ("block.norm", "stem.0"))
  same(again, eager.activations(images, ("block.norm", "stem.0")))


def test_nodes_and_clips_that_no_module_names(model, images):
  probe = ProgramProbe(export(model, 2, **dynamic()))
  assert probe.notes() == {
    "stem.1": "before its clip at 6",
    "stem": "before its clip at 6",
    "clamp": "before its clip at 2",
  }
  found = probe.activations(images, ("block", "mul", "clamp", "stem", "mean"))
  np.testing.assert_allclose(found["mul"], 3 * found["block"], atol=1e-6)
  np.testing.assert_allclose(found["clamp"], np.maximum(found["mul"], 0.5))
  mean = found["mul"].clip(0.5, 2).mean((1, 2), keepdims=True)
  np.testing.assert_allclose(found["mean"], mean, atol=1e-6)
  assert found["stem"].max() > 6
  whole = ProgramProbe(export(model, 2, **dynamic()), before_clip=False)
  clipped = whole.activations(images, ("stem", "clamp"))
  np.testing.assert_array_equal(clipped["stem"], found["stem"].clip(max=6))
  np.testing.assert_allclose(clipped["clamp"], found["mul"].clip(0.5, 2))
  assert not whole.notes()


@pytest.mark.parametrize(
  ("batch", "options"), [(1, {}), (3, {}), (3, dynamic(min=2, max=4))]
)
def test_sizes_of_the_batch_that_a_program_takes(model, images, batch, options):
  eager = TorchProbe(model, 16).activations(images, ("block.norm", "head"))
  probe = ProgramProbe(export(model, batch, **options))
  for number in (7, 1):
    found = probe.activations(images[:number], ("block.norm", "head"))
    same(found, {name: array[:number] for name, array in eager.items()})


def test_a_file(model, images, tmp_path):
  path = tmp_path / "model.program"
  with path.open("wb") as file:
    torch.export.save(export(model, 2), file)
  probe = ProgramProbe(str(path), device="cpu")
  found = probe.activations(images, ("head",))
  same(found, TorchProbe(model, 16).activations(images, ("head",)))


class Flat(nn.Module):
  """Needs torch's contiguous memory format."""

  def __init__(self):
    super().__init__()
    self.conv = nn.Conv2d(3, 4, 3)
    self.head = nn.Linear(4 * 14 * 14, 5)

  def forward(self, x):
    return self.head(self.conv(x).view(len(x), -1))


def test_the_order_in_memory_that_a_view_wants(images):
  torch.manual_seed(1)
  model = Flat()
  eager = TorchProbe(model, 16)
  found = eager.activations(images, ("conv", "head"))
  program = ProgramProbe(export(model, 7))
  same(program.activations(images, ("conv", "head")), found)
  with torch.no_grad():
    want = model.head(torch.tensor(found["conv"]).permute(0, 3, 1, 2).flatten(1))
  np.testing.assert_allclose(found["head"][:, 0, 0], want, atol=1e-5)


def test_colors_last_and_whole_numbers(images):
  class Raw(nn.Module):
    def forward(self, x):
      return x.permute(0, 3, 1, 2) / 2

  program = torch.export.export(Raw(), (torch.zeros(7, 16, 16, 3, dtype=torch.uint8),))
  found = ProgramProbe(program).activations(images, ("div",))["div"]
  np.testing.assert_array_equal(found, images / 2)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (None, "there is no such file"),
    (b"", "is not an exported program"),
    ("weights", "is not an exported program"),
  ],
)
def test_no_program(tmp_path, content, message):
  path = tmp_path / "x.pt2"
  if content == "weights":
    torch.save({"a": torch.zeros(2)}, path)
  elif content is not None:
    path.write_bytes(content)
  with pytest.raises(UserError, match=message):
    ProgramProbe(path)


def test_programs_of_something_else(model, images):
  class Two(nn.Module):
    def forward(self, x, y):
      return x + y

  pair = torch.export.export(Two(), (torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)))
  with pytest.raises(UserError, match="takes x, y: expected one tensor of images"):
    ProgramProbe(pair)
  with pytest.raises(UserError, match=r"shape \(2, 64, 8, 64\): expected images"):
    ProgramProbe(export(nn.ReLU(), 2, (64, 8, 64)))
  with pytest.raises(UserError, match="16 x 16 pixels: expected 32 x 32"):
    ProgramProbe(export(model, 2), 32)
  training = torch.export.export(Model(), (torch.zeros(2, 3, 16, 16),))
  with pytest.raises(UserError, match=r"training mode.*call model.eval\(\)"):
    ProgramProbe(training)
  with pytest.raises(UserError, match="has no layer 'nothing'"):
    ProgramProbe(export(model, 2)).activations(images, ("nothing",))
