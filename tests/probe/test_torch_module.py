import numpy as np
import pytest
import torch
from torch import nn

from milan_jax._src.errors import UserError
from milan_jax._src.probe.torch_module import TorchProbe
from milan_jax._src.probe.torch_program import ProgramProbe
from milan_jax._src.records import LayerShape


class Residual(nn.Module):
  def __init__(self, channels):
    super().__init__()
    self.conv = nn.Conv2d(channels, channels, 3, padding=1)
    self.norm = nn.BatchNorm2d(channels)
    self.relu = nn.ReLU(inplace=True)

  def forward(self, x):
    out = self.norm(self.conv(x))
    out += x  # overwrites the norm's result
    return self.relu(out)


class Pair(nn.Module):
  def forward(self, x):
    return x, x + 1


class Several(nn.Module):
  def forward(self, x):
    classes = x.argmax(1)
    return {"classes": classes, "maps": x, "more": [x.mean((2, 3)), {"third": 2 * x}]}


class Opaque(nn.Module):
  def forward(self, x):
    return x.shape


class Model(nn.Module):
  def __init__(self):
    super().__init__()
    self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(inplace=True))
    self.block = Residual(6)
    self.pair = Pair()
    self.several = Several()
    self.opaque = Opaque()
    self.pool = nn.AdaptiveAvgPool2d(1)
    self.head = nn.Linear(6, 4)
    self.unused = nn.Linear(1, 1)

  def forward(self, x):
    x = self.block(self.stem(x))
    x = self.several(self.pair(x)[0])["maps"]
    self.opaque(x)
    return self.head(self.pool(x).flatten(1))


@pytest.fixture
def model():
  torch.manual_seed(0)
  model = Model()
  # Statistics that distinguish training from evaluation.
  model.block.norm.running_mean += 0.3
  return model


@pytest.fixture(scope="module")
def images():
  return np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)


def normalized(images):
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
    first = model.stem[0](normalized(images))
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


class Hidden(nn.Module):
  """Changes its input, and no version counter shows it."""

  def __init__(self, change):
    super().__init__()
    self.change = change

  def forward(self, x):
    self.change(x)
    return x


def through_numpy(x):
  array = x.detach().numpy()
  np.maximum(array, 0, out=array)


@pytest.mark.parametrize("change", [lambda x: x.data.clamp_(min=0), through_numpy])
def test_what_is_overwritten_unseen(images, change):
  torch.manual_seed(0)
  conv = nn.Conv2d(3, 4, 3)
  model = nn.Sequential(conv, Hidden(change))
  found = TorchProbe(model, 16).activations(images, ("0", "1"))
  want = conv(normalized(images))
  close(found["0"], want)
  close(found["1"], want.relu())


class ChangesItsInput(nn.Module):
  def __init__(self):
    super().__init__()
    torch.manual_seed(0)
    self.conv = nn.Conv2d(3, 4, 3)
    self.relu = nn.ReLU(inplace=True)

  def forward(self, x):
    x.mul_(0.5).sub_(0.3)
    return self.relu(self.conv(x))


@pytest.mark.parametrize("exported", [False, True])
def test_a_model_that_changes_its_input(images, exported):
  # The second run, which copies what `relu` overwrites, gets the same input.
  model = ChangesItsInput().eval()
  if exported:
    batch = torch.export.Dim("batch")
    program = torch.export.export(
      model, (torch.zeros(2, 3, 16, 16),), dynamic_shapes=({0: batch},)
    )
    probe = ProgramProbe(program)
  else:
    probe = TorchProbe(model, 16)
  want = model.conv(normalized(images) * 0.5 - 0.3)
  for _ in range(2):
    found = probe.activations(images, ("conv", "relu"))
    close(found["conv"], want)
    close(found["relu"], want.relu())


def test_signs_that_torch_has_not_applied_yet(images):
  class Spectrum(nn.Module):
    def forward(self, x):
      return torch.fft.fft2(x).conj().imag

  torch.manual_seed(0)
  conv = nn.Conv2d(3, 4, 3)
  found = TorchProbe(nn.Sequential(conv, Spectrum()), 16).activations(images, ("1",))
  maps = conv(normalized(images)).detach().numpy()
  want = -np.fft.fft2(maps).imag.transpose(0, 2, 3, 1)
  np.testing.assert_allclose(found["1"], want, atol=1e-3)


def test_only_what_is_overwritten_is_copied(model, images):
  probe = TorchProbe(model, 16)
  probe.activations(images, ("stem.0", "block.conv", "block"))
  assert probe._outputs._overwritten == {"stem.0"}


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
  probe.activations(images, ("pair[1]",))
  assert not any(
    module._forward_hooks or module._forward_pre_hooks for module in model.modules()
  )


def test_no_hook_stays_after_an_error(model):
  probe = TorchProbe(model, 16)
  with pytest.raises(UserError, match="does not run on images of 16 x 16"):
    # A linear layer instead of the first convolution breaks the forward pass.
    model.block.conv = nn.Linear(5, 5)
    probe.activations(np.zeros((1, 16, 16, 3), np.uint8), ("stem",))
  assert not any(
    module._forward_hooks or module._forward_pre_hooks for module in model.modules()
  )


def test_layers_lists_what_can_be_read(model):
  shapes = TorchProbe(model, 16).layers()
  assert LayerShape("stem.0", 8, 8, 6) in shapes
  assert LayerShape("pool", 1, 1, 6) in shapes
  assert LayerShape("head", 1, 1, 4) in shapes
  names = [shape.name for shape in shapes]
  assert names.index("stem.0") < names.index("block.conv") < names.index("head")
  assert not {"opaque", "unused"} & set(names)


def test_several_tensors_are_named_by_their_place(model, images):
  probe = TorchProbe(model, 16)
  names = [shape.name for shape in probe.layers()]
  start = names.index("several")
  more = ["several", "several[more][0]", "several[more][1][third]"]
  assert names[start : start + 3] == more
  found = probe.activations(images, ("pair", "pair[1]", "block", *more))
  block = found["block"]
  np.testing.assert_array_equal(found["pair"], block)
  np.testing.assert_array_equal(found["pair[1]"], block + 1)
  np.testing.assert_array_equal(found["several"], block)
  np.testing.assert_allclose(
    found["several[more][0]"][:, 0, 0], block.mean((1, 2)), atol=1e-6
  )
  np.testing.assert_array_equal(found["several[more][1][third]"], 2 * block)


class Twice(nn.Module):
  """A block that uses one ReLU twice, as ResNet's."""

  def __init__(self):
    super().__init__()
    self.first = nn.Conv2d(3, 4, 3)
    self.second = nn.Conv2d(4, 5, 3)
    self.relu = nn.ReLU(inplace=True)

  def forward(self, x):
    return self.relu(self.second(self.relu(self.first(x))))


@pytest.mark.parametrize("chosen", [("0.relu#0",), ("0.relu#1", "0.relu#0")])
def test_every_call_of_a_module_is_a_layer(images, chosen):
  torch.manual_seed(1)
  model = nn.Sequential(Twice())
  probe = TorchProbe(model, 16)
  assert [(shape.name, shape.units) for shape in probe.layers()] == [
    ("0.first", 4),
    ("0.relu#0", 4),
    ("0.second", 5),
    ("0.relu#1", 5),
    ("0", 5),
  ]
  found = probe.activations(images, chosen)
  with torch.no_grad():
    first = model[0].first(normalized(images)).relu()
    want = {"0.relu#0": first, "0.relu#1": model[0].second(first).relu()}
  for name in chosen:
    close(found[name], want[name])
  with pytest.raises(UserError, match=r"runs 2 times: choose among 0.relu#0, 0.relu#1"):
    probe.activations(images, ("0.relu",))


def clipped(inplace):
  torch.manual_seed(2)
  return nn.Sequential(
    nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(inplace=inplace)),
    nn.Identity(),
    nn.Conv2d(4, 5, 1),
    nn.Hardtanh(-1.5, 1.0, inplace=inplace),
    nn.Conv2d(5, 2, 1),
  )


@pytest.mark.parametrize("inplace", [False, True])
def test_clipped_layers_are_read_before_their_upper_clip(images, inplace):
  model = clipped(inplace)
  with torch.no_grad():
    model[0][0].weight *= 20
    conv = model[0][0](normalized(images))
    second = model[2](conv.clamp(0, 6))
    last = model[4](second.clamp(-1.5, 1))
  assert conv.max() > 6
  assert second.max() > 1
  assert second.min() < -1.5
  probe = TorchProbe(model, 16)
  names = ("0.0", "0.1", "0", "1", "2", "3", "4")
  for found in (probe.activations(images, names), probe.activations(images, names)):
    close(found["0.0"], conv)
    for name in ("0.1", "0", "1"):  # the block and its parent return the clip's output
      close(found[name], conv.clamp(min=0))
    close(found["2"], second)
    close(found["3"], second.clamp(min=-1.5))
    close(found["4"], last)
  before = "before its clip at"
  assert probe.notes() == {
    **dict.fromkeys(("0.1", "0", "1"), f"{before} 6"),
    "3": f"{before} 1",
  }


@pytest.mark.parametrize("inplace", [False, True])
def test_clipped_layers_as_they_are(images, inplace):
  model = clipped(inplace)
  probe = TorchProbe(model, 16, before_clip=False)
  found = probe.activations(images, ("0.0", "0.1", "3"))
  with torch.no_grad():
    first = model[0][0](normalized(images))
    second = model[2](first.clamp(0, 6)).clamp(-1.5, 1)
  close(found["0.0"], first)
  close(found["0.1"], first.clamp(0, 6))
  close(found["3"], second)
  assert not probe.notes()


def test_a_block_whose_clip_is_added_to_is_no_clip(images):
  class Block(nn.Module):
    def __init__(self):
      super().__init__()
      self.conv = nn.Conv2d(3, 3, 1)
      self.clip = nn.ReLU6()

    def forward(self, x):
      out = self.clip(self.conv(x))
      out += x
      return out

  model = nn.Sequential(Block())
  probe = TorchProbe(model, 16)
  found = probe.activations(images, ("0", "0.clip"))
  conv = model[0].conv(normalized(images))
  close(found["0"], conv.clamp(0, 6) + normalized(images))
  close(found["0.clip"], conv.clamp(min=0))
  assert set(probe.notes()) == {"0.clip"}


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("none", "no module 'none'"),
    ("unused", "does not run"),
    ("opaque", "returns a Size, in which no tensor of real numbers is found"),
    ("pair[2]", "returns no such tensor"),
    ("block.norm#1", "returns no such tensor"),
    ("several[classes]", "returns no such tensor"),
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_inputs_have_the_type_of_the_weights(images, dtype):
  torch.manual_seed(3)
  model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).to(dtype)
  found = TorchProbe(model, 16).activations(images, ("0",))["0"]
  assert found.dtype == np.float32
  want = model[0](normalized(images).to(dtype)).float()
  close(found, want)


def test_no_tensor_of_positions(images):
  class Odd(nn.Module):
    def forward(self, x):
      return x.reshape(-1, 7)[:6]

  model = nn.Sequential(Odd())
  with pytest.raises(UserError, match=r"\(6, 7\); which axes are positions"):
    TorchProbe(model, 14).activations(images[:, :14, :14], ("0",))


def test_what_is_overwritten_in_inference_mode(images):
  class Inference(nn.Module):
    def __init__(self):
      super().__init__()
      self.conv = nn.Conv2d(3, 4, 1)
      self.relu = nn.ReLU(inplace=True)

    @torch.inference_mode()
    def forward(self, x):
      return self.relu(self.conv(x))

  torch.manual_seed(4)
  model = Inference()
  found = TorchProbe(model, 16).activations(images, ("conv", "relu"))
  conv = nn.functional.conv2d(normalized(images), model.conv.weight, model.conv.bias)
  close(found["conv"], conv)
  close(found["relu"], conv.relu())


def test_a_module_that_is_run_for_some_images(images):
  class Some(nn.Module):
    def __init__(self):
      super().__init__()
      self.dark = nn.Identity()

    def forward(self, x):
      return self.dark(x) if x.mean() < -1 else x

  probe = TorchProbe(nn.Sequential(Some()), 16)
  assert probe.activations(0 * images, ("0.dark",))
  with pytest.raises(UserError, match=r"0\.dark did not run for these images"):
    probe.activations(255 - 0 * images, ("0.dark",))


def test_a_pass_goes_no_further_than_it_must(model, images):
  probe = TorchProbe(model, 16)
  probe.layers()
  calls = []
  model.pair.register_forward_hook(lambda *_: calls.append("pair"))
  model.block.norm.register_forward_hook(lambda *_: calls.append("norm"))
  whole = probe.activations(images, ("block.norm", "head"))
  assert calls == ["norm", "pair"] * (len(calls) // 2)
  calls.clear()
  found = probe.activations(images, ("block.norm",))
  assert set(calls) <= {"norm"}
  np.testing.assert_array_equal(found["block.norm"], whole["block.norm"])
