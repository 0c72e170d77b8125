import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax.errors import UserError
from milan_jax.models.backbones import Preprocessing
from milan_jax.probe.callable_model import CallableProbe
from milan_jax.records import LayerShape

PREPROCESSING = Preprocessing(10, 8, "bilinear", (100.0, 110.0, 120.0), (50.0,) * 3)


@pytest.fixture(scope="module")
def images():
  return np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)


def normalised(images):
  return (images - np.float32([100, 110, 120])) / np.float32(50)


def test_a_function_of_jax(images):
  def function(images):
    assert isinstance(images, jax.core.Tracer)
    return {"maps": jnp.abs(images), "vector": images.max((1, 2)), "ids": images > 0}

  probe = CallableProbe(function, PREPROCESSING)
  assert probe.layers() == (LayerShape("maps", 8, 8, 3), LayerShape("vector", 1, 1, 3))
  found = probe.activations(images, ("vector", "maps"))
  want = normalised(images)
  np.testing.assert_allclose(found["maps"], np.abs(want), atol=1e-6)
  np.testing.assert_allclose(found["vector"][:, 0, 0], want.max((1, 2)), atol=1e-6)


def test_a_function_of_numpy(images):
  def function(images):
    assert isinstance(images, np.ndarray)
    images *= 2  # its images are its own
    if images.any():
      images += 1
    first = images.transpose(0, 3, 1, 2)[:, :, :4, :4]
    return {"first": first.astype(np.float16), "sorted": np.sort(images, axis=0)}

  probe = CallableProbe(function, PREPROCESSING, compiled=False, convolution="NCHW")
  assert probe.num_devices == 1
  assert [shape.layout for shape in probe.layers()] == ["NCHW", "NHWC"]
  found = probe.activations(images, ("first",))
  assert set(found) == {"first"}
  assert found["first"].dtype == np.float32
  want = 2 * normalised(images)[:, :4, :4] + 1
  np.testing.assert_allclose(found["first"], want, atol=1e-2)
  with pytest.raises(UserError, match="no layer 'last'"):
    probe.activations(images, ("last",))


def test_devices_are_for_compiled_functions():
  with pytest.raises(UserError, match="give no devices"):
    CallableProbe(
      lambda images: {}, PREPROCESSING, compiled=False, devices=jax.devices()
    )
