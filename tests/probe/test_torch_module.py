import numpy as np
import pytest
import torch
from torch import nn

from milan_jax.errors import UserError
from milan_jax.probe.torch_module import TorchProbe
from milan_jax.records import LayerShape


class Residual(nn.Module):
  def __init__(self, channels):
    super().__init__()
    self.conv = nn.Conv2d(channels, channels, 3, padding=1)
    self.norm = nn.BatchNorm2d(channels)
    self.relu = nn.ReLU(inplace=True)

  def forward(self, x):
    out = self.norm(self.conv(x))
    out += x  # overwrites what the norm returned
    return self.relu(out)


class Pair(nn.Module):
  def forward(self, x):
    return x, x + 1


class Words(nn.Module):
  def forward(self, x):
    self.said = "nothing"
    return {"maps": x}["maps"]


class Opaque(nn.Module):
  def forward(self, x):
    return {"maps": x}


class Model(nn.Module):
  def __init__(self):
    super().__init__()
    self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(inplace=True))
    self.block = Residual(6)
    self.pair = Pair()
    self.opaque = Opaque()
    self.pool = nn.AdaptiveAvgPool2d(1)
    self.head = nn.Linear(6, 4)
    self.unused = nn.Linear(1, 1)

  def forward(self, x):
    x = self.block(self.stem(x))
    x = self.opaque(self.pair(x)[0])["maps"]
    return self.head(self.pool(x).flatten(1))


@pytest.fixture
def model():
  torch.manual_seed(0)
  model = Model()
  # Statistics that tell training from evaluation.
  model.block.norm.running_mean += 0.3
  return model


@pytest.fixture(scope="module")
def images():
  return np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)


def normalised(images):
  mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
  pixels = (images / 255 - mean) / std
  return torch.from_numpy(pixels.transpose(0, 3, 1, 2)).float()


def close(ours, theirs):
  want = theirs.detach().numpy()
  want = want.transpose(0, 2, 3, 1) if want.ndim == 4 else want[:, None, None, :]
  np.testing.assert_allclose(ours, want, atol=1e-5)


def test_layers_are_what_the_modules_return(model, images):
  probe = TorchProbe(model, 16)
  names = ("stem.0", "stem", "block.conv", "block.norm", "block", "pool", "head")
  found = probe.activations(images, names)
  assert tuple(found) == names
  model.eval()
  with torch.no_grad():
    first = model.stem[0](normalised(images))
    stem = first.relu()
    conv = model.block.conv(stem)
    norm = model.block.norm(conv)
    block = (norm + stem).relu()
  # The first three are overwritten in place by the modules after them.
  close(found["stem.0"], first)
  close(found["block.norm"], norm)
  close(found["stem"], stem)
  close(found["block.conv"], conv)
  close(found["block"], block)
  close(found["pool"], block.mean((2, 3), keepdim=True))
  close(found["head"], model.head(block.mean((2, 3))))


def test_later_batches_are_not_overwritten_either(model, images):
  probe = TorchProbe(model, 16)
  once = probe.activations(images, ("stem.0", "block.norm"))
  kept = {name: array.copy() for name, array in once.items()}
  again = probe.activations(images, ("stem.0", "block.norm"))
  for name in kept:
    np.testing.assert_array_equal(once[name], kept[name])
    np.testing.assert_array_equal(again[name], kept[name])
  assert (kept["stem.0"] < 0).any()


def test_only_what_is_overwritten_is_copied(model, images):
  probe = TorchProbe(model, 16)
  probe.activations(images, ("stem.0", "block.conv", "block"))
  assert probe._overwritten == {"stem.0"}


def test_activations_are_views_with_units_last_in_memory(model, images):
  found = TorchProbe(model, 16).activations(images, ("block.conv",))["block.conv"]
  assert found.flags.c_contiguous
  assert not found.flags.owndata


def test_an_image_does_not_depend_on_its_batch(model, images):
  probe = TorchProbe(model.train(), 16)
  together = probe.activations(images, ("block",))["block"]
  alone = probe.activations(images[1:2], ("block",))["block"]
  np.testing.assert_allclose(together[1:2], alone, atol=1e-6)


def test_no_hook_stays(model, images):
  probe = TorchProbe(model, 16)
  probe.activations(images, ("block",))
  probe.layers()
  with pytest.raises(UserError):
    probe.activations(images, ("opaque",))
  assert not any(module._forward_hooks for module in model.modules())


def test_no_hook_stays_after_an_error(model):
  probe = TorchProbe(model, 16)
  with pytest.raises(RuntimeError):
    # A linear layer in place of the image's convolution breaks the forward pass.
    model.block.conv = nn.Linear(5, 5)
    probe.activations(np.zeros((1, 16, 16, 3), np.uint8), ("stem",))
  assert not any(module._forward_hooks for module in model.modules())


def test_layers_lists_what_can_be_read(model):
  shapes = TorchProbe(model, 16).layers()
  assert LayerShape("stem.0", 8, 8, 6) in shapes
  assert LayerShape("pool", 1, 1, 6) in shapes
  assert LayerShape("head", 1, 1, 4) in shapes
  names = [shape.name for shape in shapes]
  assert names.index("stem.0") < names.index("block.conv") < names.index("head")
  assert not {"opaque", "unused"} & set(names)


def test_the_first_of_several_tensors(model, images):
  found = TorchProbe(model, 16).activations(images, ("pair", "block"))
  np.testing.assert_array_equal(found["pair"], found["block"])


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("none", "no module 'none'"),
    ("unused", "is not run"),
    ("opaque", "returns dict"),
  ],
)
def test_modules_that_give_nothing(model, images, name, message):
  with pytest.raises(UserError, match=message):
    TorchProbe(model, 16).activations(images, (name,))


def test_half_precision_comes_out_as_float32(images):
  model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Identity())
  model[1].register_forward_hook(lambda m, i, o: o.bfloat16())
  found = TorchProbe(model, 16).activations(images, ("1",))
  assert found["1"].dtype == np.float32
