"""Models of images with a number of channels other than three, or not square."""

import dataclasses
import sys
import types

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch import nn
from torch.nn import functional

from milan_jax._src.errors import UserError
from milan_jax._src.images.preprocessing import default_mean_and_std
from milan_jax._src.probe.latent_inputs import trial_inputs
from milan_jax._src.probe.layout import guess_layout
from milan_jax._src.probe.model_options import ModelRequest
from milan_jax._src.probe.networks import open_network
from milan_jax._src.probe.torch_channels import infer_channels
from milan_jax._src.probe.torch_generator import TorchGenerator
from milan_jax._src.probe.torch_module import TorchProbe


@pytest.fixture
def opened(monkeypatch):
  """Opens a model through a name."""

  def opened(model, **options):
    module = types.ModuleType("named_for_a_test")
    module.model = model
    monkeypatch.setitem(sys.modules, "named_for_a_test", module)
    return open_network(
      ModelRequest(name="named_for_a_test:model", image_size="16", **options)
    )

  return opened


def conv(channels, units=4):
  torch.manual_seed(0)
  return nn.Sequential(nn.Conv2d(channels, units, 3, stride=2), nn.ReLU())


def values(found, channels, images):
  """The first layer, computed by torch."""
  mean, std = (np.array(one, np.float32) for one in default_mean_and_std(channels))
  pixels = torch.tensor((images - mean) / std).permute(0, 3, 1, 2)
  return found(pixels).detach().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_a_torch_module_of_any_channels(opened, channels):
  module = conv(channels)
  network = opened(module)
  assert network.geometry.channels == network.probe.channels == channels
  images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, channels), np.uint8)
  found = network.probe.activations(images, ("0",))["0"]
  np.testing.assert_allclose(found, values(module[0], channels, images), atol=1e-5)


def test_gray_has_the_mean_of_imagenets_three():
  mean, std = default_mean_and_std(1)
  np.testing.assert_allclose(mean, [np.mean([123.675, 116.28, 103.53])], atol=1e-3)
  np.testing.assert_allclose(std, [np.mean([58.395, 57.12, 57.375])], atol=1e-3)


class Luma(nn.Module):
  """Takes RGB, although its convolution takes gray."""

  def __init__(self):
    super().__init__()
    self.conv = nn.Conv2d(1, 4, 3)

  def forward(self, images):
    return self.conv(images.mean(1, keepdim=True))


class Coordinates(nn.Module):
  """Adds two channels to gray."""

  def __init__(self):
    super().__init__()
    self.unused = nn.Conv2d(7, 4, 3)
    self.conv = nn.Conv2d(3, 4, 3)

  def forward(self, images):
    places = torch.zeros(len(images), 2, *images.shape[2:])
    return self.conv(torch.cat([images, places], 1))


class Focus(nn.Module):
  """Moves pixels to channels."""

  def __init__(self):
    super().__init__()
    self.conv = nn.Conv2d(4, 4, 3)

  def forward(self, images):
    return self.conv(functional.pixel_unshuffle(images, 2))


class Functional(nn.Module):
  """A convolution that is not a module."""

  def __init__(self):
    super().__init__()
    self.kernel = nn.Parameter(torch.ones(4, 1, 3, 3))

  def forward(self, images):
    return functional.conv2d(images, self.kernel)


@pytest.mark.parametrize(
  ("module", "channels"),
  [
    (Luma(), 3),
    (Coordinates(), 1),
    (Focus(), 1),
    (Functional(), 1),
    (nn.Sequential(nn.Conv2d(2, 4, 3, groups=2)), 2),
    (nn.Sequential(nn.Flatten(), nn.Linear(256, 4)), 1),
    (nn.Sequential(nn.Flatten(), nn.Linear(300, 4)), None),
    (nn.ReLU(), None),
  ],
  ids=lambda one: type(one).__name__,
)
def test_channels_are_told_by_the_first_layer(module, channels):
  assert infer_channels(module, 16, "cpu") == channels


def test_numbers_that_do_not_fit_the_channels(opened):
  with pytest.raises(UserError, match=r"expected one number, .* found 3"):
    opened(conv(1), mean="0.5,0.5,0.5")
  with pytest.raises(UserError, match=r"expected three numbers.*found 1"):
    opened(conv(3), std="0.5")
  with pytest.raises(UserError, match=r"mean=0\.5 has 1 numbers and std=.* 3"):
    opened(conv(1), mean="0.5", std="0.5,0.5,0.5")
  network = opened(conv(2), mean="0.5,0.25", std="1,0.5")
  found = network.probe.activations(np.full((1, 16, 16, 2), 255, np.uint8), ("0",))
  pixels = torch.tensor([0.5, 1.5])[None, :, None, None].expand(1, 2, 16, 16)
  expected = conv(2)[0](pixels).detach().permute(0, 2, 3, 1)
  np.testing.assert_allclose(found["0"], expected.numpy(), atol=1e-5)


def exported(module, *shape):
  return torch.export.export(module.eval(), (torch.zeros(shape),))


def test_a_program_of_gray_and_of_four(opened):
  for channels in (1, 4):
    network = opened(exported(conv(channels), 2, channels, 16, 16))
    assert network.geometry.channels == channels
    assert network.probe.layers()[0].units == 4


class LinenNet(linen.Module):
  @linen.compact
  def __call__(self, images):
    return linen.Conv(5, (3, 3), name="stem")(images)


class NnxNet(nnx.Module):
  def __init__(self, channels):
    self.stem = nnx.Conv(channels, 5, (3, 3), rngs=nnx.Rngs(0))

  def __call__(self, images):
    return self.stem(images)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_flax_modules_tell_by_their_kernels(opened, channels):
  variables = LinenNet().init(jax.random.key(0), jnp.zeros((1, 16, 16, channels)))
  for model in ((LinenNet(), variables), NnxNet(channels)):
    network = opened(model)
    assert network.geometry.channels == network.probe.channels == channels
    images = np.full((8, 16, 16, channels), 255, np.uint8)
    assert network.probe.activations(images, ("stem",))["stem"].shape[-1] == 5


def test_a_function_is_told_by_the_number_of_means(opened):
  network = opened(lambda images: {"all": images}, mean="0.5", std="0.5")
  assert network.geometry.channels == 1


@pytest.mark.parametrize("size", ["12x20", "20x12", "16", "16x16"])
def test_sizes_as_people_write_them(size):
  request = ModelRequest(image_size=size)
  height, width = map(int, (f"{size}x{size}" if "x" not in size else size).split("x"))
  assert request.preprocessing().crop == (
    height if height == width else (height, width)
  )
  if size == "16x16":
    assert request.preprocessing() == ModelRequest(image_size="16").preprocessing()


@pytest.mark.parametrize("size", ["x", "12x", "12x0", "axb", "-3", "1x2x3", "12.5"])
def test_sizes_that_are_none(size):
  with pytest.raises(UserError, match="expected a number of pixels, or HEIGHTxWIDTH"):
    ModelRequest(image_size=size).preprocessing()


def test_oblong_images_of_every_kind_of_model(opened):
  def shape(model):
    network = opened(model, image_size="12x20")
    (layer, *_) = network.probe.layers()
    assert network.probe.image_size == network.geometry.crop == (12, 20)
    images = np.zeros((8, 12, 20, 3), np.uint8)
    found = network.probe.activations(images, (layer.name,))[layer.name]
    assert found.shape == (8, layer.height, layer.width, layer.units)
    return layer.height, layer.width

  def opened(model, image_size):
    module = types.ModuleType("named_for_a_test")
    module.model = model
    sys.modules["named_for_a_test"] = module
    try:
      return open_network(
        ModelRequest(name="named_for_a_test:model", image_size=image_size)
      )
    finally:
      del sys.modules["named_for_a_test"]

  variables = LinenNet().init(jax.random.key(0), jnp.zeros((1, 12, 20, 3)))
  assert shape(conv(3)) == (5, 9)
  assert shape(exported(conv(3), 8, 3, 12, 20)) == (5, 9)
  assert shape((LinenNet(), variables)) == (12, 20)
  assert shape(NnxNet(3)) == (12, 20)
  assert shape(lambda images: {"all": images}) == (12, 20)
  with pytest.raises(
    UserError, match="takes images of 12 x 20 pixels: expected 12 x 12"
  ):
    opened(exported(conv(3), 8, 3, 12, 20), "12")


def test_no_image_is_resized_otherwise_than_a_square_was():
  own = ModelRequest().preprocessing()
  assert dataclasses.asdict(own)["resize"] == 256 and own.crop == 224
  assert ModelRequest(image_size="64").preprocessing().resize == 73
  assert ModelRequest(image_size="128x64").preprocessing().resize == (146, 73)


class Tokens(nn.Module):
  """A vision transformer's first layers, with a leading token."""

  def __init__(self):
    super().__init__()
    torch.manual_seed(0)
    self.patches = nn.Conv2d(3, 8, 4, stride=4)
    self.norm = nn.LayerNorm(8)
    self.mlp = nn.Linear(8, 5)

  def forward(self, images):
    tokens = self.patches(images).flatten(2).transpose(1, 2)
    return self.mlp(self.norm(torch.cat([0 * tokens[:, :1], tokens], 1)))


@pytest.mark.parametrize("size", [(16, 24), (32, 16), (16, 16)])
def test_tokens_of_an_oblong_image(size):
  probe = TorchProbe(Tokens(), size)
  shapes = {one.name: (one.height, one.width) for one in probe.layers()}
  rows, columns = size[0] // 4, size[1] // 4
  assert shapes == dict.fromkeys(("patches", "norm", "mlp"), (rows, columns))
  images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
  found = probe.activations(images, ("patches", "norm"))
  maps = torch.tensor(found["patches"])
  expected = functional.layer_norm(maps, (8,)).numpy()
  np.testing.assert_allclose(found["norm"], expected, atol=1e-5)


def test_maps_whose_units_are_as_many_as_their_rows():
  module = nn.Sequential(nn.Conv2d(3, 8, 2, stride=2), nn.ReLU())
  shapes = TorchProbe(module, (16, 8)).layers()
  assert [(one.height, one.width, one.units) for one in shapes] == [(8, 4, 8)] * 2


def test_tokens_whose_grid_is_not_known_are_not_listed():
  assert guess_layout((2, 25, 8), 2, convolution="NCHW").special == 0
  assert guess_layout((2, 25, 8), 2, convolution="NCHW", aspect=0.5) is None
  known = guess_layout((2, 19, 8), 2, convolution="NCHW", aspect=0.5, grid=(3, 6))
  assert str(known) == "NLC:special=1:grid=3x6"


class Digits(nn.Module):
  """Generates non-square gray images."""

  def __init__(self):
    super().__init__()
    torch.manual_seed(0)
    self.start = nn.Linear(6, 4 * 3 * 2)
    self.out = nn.Conv2d(4, 1, 1)

  def forward(self, latents):
    return self.out(self.start(latents).view(-1, 4, 3, 2)).tanh()


def test_a_generator_of_oblong_gray_images():
  generator = TorchGenerator(Digits(), (6,))
  assert generator.image_size == (3, 2)
  inputs = trial_inputs((6,), classes=False, batch=4)
  found = generator.images(inputs)
  assert found.shape == (4, 3, 2, 3) and (found == found[..., :1]).all()
  latents = torch.tensor(inputs["latent"])
  made = Digits()(latents).detach().numpy()[:, 0]
  np.testing.assert_allclose(found[..., 0], (made + 1) * 127.5, atol=0.51)
