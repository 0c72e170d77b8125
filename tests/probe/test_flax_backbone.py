import flax.linen as nn
import jax
import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.images.preprocessing import Preprocessing
from milan_jax._src.models.backbones import Backbone
from milan_jax._src.models.backbones.parts import Conv, Linear, Relu, flatten
from milan_jax._src.probe.flax_backbone import FlaxProbe
from milan_jax._src.probe.protocol import Probe
from milan_jax._src.records import LayerShape

PREPROCESSING = Preprocessing(36, 32, "bilinear", (100.0, 110.0, 120.0), (50.0,) * 3)


class Tiny(nn.Module):
  num_classes: int | None = 5

  @nn.compact
  def __call__(self, images):
    maps = Conv(4, 3, stride=2, padding=1, name="conv")(images)
    maps = Relu(name="relu")(maps)
    vectors = flatten(maps)
    if self.num_classes is None:
      return vectors
    return Linear(self.num_classes, name="fc")(vectors)


@pytest.fixture(scope="module")
def network():
  return Backbone("tiny", Tiny(), PREPROCESSING, "fc", ("conv",))


@pytest.fixture(scope="module")
def probe(network):
  rng = np.random.default_rng(0)
  params = {
    "conv": {"kernel": rng.standard_normal((3, 3, 3, 4), np.float32)},
    "fc": {
      "kernel": rng.standard_normal((16 * 16 * 4, 5), np.float32),
      "bias": rng.standard_normal(5, np.float32),
    },
  }
  return FlaxProbe(network, jax.tree.map(jax.numpy.asarray, params))


def test_activations_are_the_backbones_of_normalized_images(network, probe):
  assert isinstance(probe, Probe)
  images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
  found = probe.activations(images, ("fc", "conv", "relu"))
  normalized = (images - np.float32([100, 110, 120])) / np.float32(50)
  padded = np.pad(normalized, ((0, 0), (1, 1), (1, 1), (0, 0)))
  kernel = np.asarray(probe._params["conv"]["kernel"])
  patch = padded[:, 10:13, 4:7]  # the pixel under position (5, 2)
  want = np.einsum("bhwc,hwcu->bu", patch, kernel)
  np.testing.assert_allclose(found["conv"][:, 5, 2], want, rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(found["relu"], np.maximum(found["conv"], 0))
  flat = np.asarray(found["relu"]).transpose(0, 3, 1, 2).reshape(3, -1)
  want = flat @ probe._params["fc"]["kernel"] + probe._params["fc"]["bias"][None]
  np.testing.assert_allclose(found["fc"][:, 0, 0], want, rtol=1e-4, atol=1e-2)


def test_layers_are_listed_in_order(probe):
  assert probe.image_size == 32
  assert probe.layers() == (
    LayerShape("conv", 16, 16, 4),
    LayerShape("relu", 16, 16, 4),
    LayerShape("fc", 1, 1, 5),
  )


def test_a_network_without_its_classifier(network, probe):
  params = {"conv": probe._params["conv"]}
  headless = FlaxProbe(network, params, devices=jax.local_devices()[:1])
  assert headless.num_devices == 1
  assert headless.layers() == probe.layers()[:-1]
  images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
  np.testing.assert_array_equal(
    headless.activations(images, ("conv",))["conv"],
    probe.activations(images, ("conv",))["conv"],
  )
  with pytest.raises(UserError, match=r"no layer 'fc' that can be read"):
    headless.activations(images, ("fc",))


def test_a_classifier_of_other_classes_has_as_many_units(network, probe):
  fc = jax.tree.map(lambda leaf: leaf[..., :3], probe._params["fc"])
  three = FlaxProbe(network, {**probe._params, "fc": fc})
  assert three.layers()[-1] == LayerShape("fc", 1, 1, 3)


def test_an_unknown_layer(probe):
  images = np.zeros((3, 32, 32, 3), np.uint8)
  with pytest.raises(UserError, match=r"no layer 'con' that can be read.* conv"):
    probe.activations(images, ("con",))


def test_another_size(network):
  probe = FlaxProbe(network, {}, image_size=48)
  assert probe.image_size == 48
  assert probe.layers()[0] == LayerShape("conv", 24, 24, 4)
