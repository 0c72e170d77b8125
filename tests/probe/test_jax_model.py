import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.images.preprocessing import Preprocessing
from milan_jax._src.probe.jax_model import JaxProbe
from milan_jax._src.probe.jax_modules import inference_keywords, named_outputs
from milan_jax._src.probe.layout import parse_layouts
from milan_jax._src.probe.protocol import Probe
from milan_jax._src.records import LayerShape
from tests.helpers.together import simulated

pytestmark = pytest.mark.usefixtures("optimized")  # up to rounding
PREPROCESSING = Preprocessing(10, 8, "bilinear", (100.0, 110.0, 120.0), (50.0,) * 3)


class Model:
  """Records the layers that it is traced for."""

  def __init__(self):
    self.traced = []

  def __call__(self, params, images, layers):
    self.traced.append((images.shape, layers))
    tokens = images.reshape(len(images), 64, 3)
    found = {
      "z": images @ params["mix"],
      "tokens": jnp.concatenate([tokens[:, :2], tokens], axis=1),
      "half": images.astype(jnp.bfloat16),
      "whole": images.astype(jnp.int32),
      "odd": images[0],
      "a": images.mean((1, 2)),
    }
    return found if layers is None else {name: found[name] for name in layers}


@pytest.fixture
def model():
  return Model()


@pytest.fixture
def params():
  return {"mix": jnp.asarray([[1.0, 2], [0, 1], [0, 0]])}


@pytest.fixture(scope="module")
def images():
  return np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)


def normalized(images):
  return (images - np.float32([100, 110, 120])) / np.float32(50)


def test_layers_are_in_the_order_of_execution_and_nothing_runs(model, params):
  probe = JaxProbe(model, params, PREPROCESSING, special=2)
  assert isinstance(probe, Probe)
  assert probe.image_size == 8
  assert probe.layers() == (
    LayerShape("z", 8, 8, 2),
    LayerShape("tokens", 8, 8, 3),
    LayerShape("half", 8, 8, 3),
    LayerShape("a", 1, 1, 3),
  )
  assert [shape.layout for shape in probe.layers()] == [
    "NHWC",
    "NLC:special=2",
    "NHWC",
    "NC",
  ]
  assert len(model.traced) == 1


def test_values(model, params, images):
  probe = JaxProbe(model, params, PREPROCESSING)
  found = probe.activations(images, ("a", "tokens", "z", "half"))
  assert set(found) == {"a", "half", "tokens", "z"}
  want = normalized(images)
  np.testing.assert_allclose(found["tokens"], want, atol=1e-6)
  np.testing.assert_allclose(found["a"][:, 0, 0], want.mean((1, 2)), atol=1e-5)
  mixed = np.stack([want[..., 0], 2 * want[..., 0] + want[..., 1]], axis=-1)
  np.testing.assert_allclose(found["z"], mixed, atol=1e-5)
  assert found["half"].dtype == jnp.float32
  np.testing.assert_allclose(found["half"], want, atol=0.02)


def test_a_set_of_layers_is_compiled_once_for_a_size_of_batch(model, params, images):
  probe = JaxProbe(model, params, PREPROCESSING)
  probe.layers()
  for _ in range(3):
    probe.activations(images, ("z",))
  probe.activations(images[:2], ("z",))
  probe.activations(images, ("z", "a"))
  assert model.traced[1:] == [
    ((4, 8, 8, 3), ("z",)),
    ((2, 8, 8, 3), ("z",)),
    ((4, 8, 8, 3), ("z", "a")),
  ]


def test_the_users_layouts(model, params, images):
  layouts = parse_layouts("tokens=NLC:token=65")
  probe = JaxProbe(model, params, PREPROCESSING, layouts=layouts)
  found = probe.activations(images, ("tokens",))["tokens"]
  np.testing.assert_allclose(found, normalized(images)[:, -1:, -1:], atol=1e-6)


def test_what_cannot_be_read(model, params, images):
  probe = JaxProbe(model, params, PREPROCESSING)
  with pytest.raises(UserError, match=r"no layer 'token'.*Did you mean tokens"):
    probe.activations(images, ("token",))
  with pytest.raises(UserError, match="no layer 'whole' that can be read"):
    probe.activations(images, ("whole",))
  broken = JaxProbe(model, {}, PREPROCESSING)
  with pytest.raises(UserError, match=r"does not run on images of 8 x 8.*KeyError"):
    broken.layers()


def test_activations_are_the_same_bytes_on_any_number_of_devices():
  environment = os.environ | {"XLA_FLAGS": simulated(8), "JAX_PLATFORMS": "cpu"}
  command = [sys.executable, "-m", "tests.probe.jax_devices"]
  done = subprocess.run(command, env=environment, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  assert json.loads(done.stdout) == {"different": {}, "default": 8}


def test_keywords_of_inference():
  def model(images, train, *, deterministic=False, rate=0.1):
    pass

  assert inference_keywords(model) == {"train": False, "deterministic": True}
  assert inference_keywords(lambda images: images) == {}


def test_names_of_several_calls_and_arrays():
  one, two, three = (jnp.full(1, number) for number in (1, 2, 3))

  def names(*calls):
    return {name: int(array[0]) for name, array in named_outputs("a", calls)}

  assert names(one) == {"a": 1}
  assert names(one, two) == {"a#0": 1, "a#1": 2}
  assert names((None, one, [two, three])) == {"a": 1, "a[2][0]": 2, "a[2][1]": 3}
  assert names((one, two), three) == {"a#0": 1, "a#0[1]": 2, "a#1": 3}
  assert names({"x": one, "y": two}) == {"a[x]": 1, "a[y]": 2}
  assert names("text", None) == {}


def test_one_device_of_several_may_be_chosen(model, params):
  probe = JaxProbe(model, params, PREPROCESSING, devices=jax.local_devices()[:1])
  assert probe.num_devices == 1
