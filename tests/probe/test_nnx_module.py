import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from milan_jax._src.images.preprocessing import Preprocessing
from milan_jax._src.probe.nnx_module import NnxProbe

PREPROCESSING = Preprocessing(10, 8, "bilinear", (100.0, 110.0, 120.0), (50.0,) * 3)


class Base(nnx.Module):
  def __call__(self, maps):
    return jnp.tanh(maps)


class Derived(Base):
  act = staticmethod(jax.nn.relu)

  def __call__(self, maps):
    return self.act(super().__call__(maps))


class Block(nnx.Module):
  def __init__(self, inputs, units, rngs):
    self.conv = nnx.Conv(inputs, units, (1, 1), rngs=rngs)
    self.norm = nnx.BatchNorm(units, rngs=rngs)
    self.drop = nnx.Dropout(0.5, rngs=rngs)
    self.tanh = Derived()

  def __call__(self, maps, train):
    maps = self.norm(self.conv(maps))
    self.sow(nnx.Intermediate, "sown", maps - 1)
    return self.tanh(self.drop(maps, deterministic=not train))


class Model(nnx.Module):
  def __init__(self):
    rngs = nnx.Rngs(0)
    self.blocks = nnx.List([Block(3, 4, rngs), Block(4, 5, rngs)])
    self.mix = nnx.Linear(5, 5, rngs=rngs)
    self.remat = nnx.Linear(5, 5, rngs=rngs)
    self.head = nnx.Linear(5, 7, rngs=rngs)

  def encode(self, images, train):
    for block in self.blocks:
      images = block(images, train)
    return self.mix(self.mix(images)), images

  def __call__(self, images, train=True):
    maps, _ = self.encode(images, train)
    maps = nnx.remat(lambda part, maps: part(maps))(self.remat, maps)
    maps = jax.checkpoint(lambda maps: self.mix(maps))(maps)
    return self.head(maps.mean((1, 2)))


def block_names(number):
  names = ("conv", "norm", "sown", "drop", "tanh")
  start = f"blocks.{number}"
  return (*(f"{start}.{name}" for name in names), start)


NAMES = (
  *(*block_names(0), *block_names(1), "mix#0", "mix#1"),
  *("encode", "encode[1]", "head", "__call__"),
)


@pytest.fixture(scope="module")
def model():
  model = Model()
  # Statistics that distinguish training from evaluation.
  model.blocks[0].norm.mean[...] += 0.5
  return model


@pytest.fixture(scope="module")
def images():
  return np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def probe(model):
  return NnxProbe(model, PREPROCESSING)


def normalized(images):
  return (images - np.float32([100, 110, 120])) / np.float32(50)


def test_names_are_paths_in_the_order_of_execution(probe):
  # Modules inside another transformation are not recorded.
  assert tuple(shape.name for shape in probe.layers()) == NAMES


def test_values_in_inference(probe, model, images):
  found = probe.activations(images, NAMES)
  conv = model.blocks[0].conv
  kernel, bias = np.asarray(conv.kernel[...])[0, 0], np.asarray(conv.bias[...])
  maps = normalized(images) @ kernel + bias[None, None, None]
  np.testing.assert_allclose(found["blocks.0.conv"], maps, atol=1e-5)
  norm = (maps - 0.5) / np.sqrt(1 + 1e-5)
  np.testing.assert_allclose(found["blocks.0.norm"], norm, atol=1e-5)
  np.testing.assert_allclose(found["blocks.0.sown"], norm - 1, atol=1e-5)
  np.testing.assert_allclose(found["blocks.0.drop"], norm, atol=1e-5)
  block = np.maximum(np.tanh(norm), 0)
  np.testing.assert_allclose(found["blocks.0.tanh"], block, atol=1e-5)
  np.testing.assert_allclose(found["blocks.0"], block, atol=1e-5)
  kernel, bias = np.asarray(model.mix.kernel[...]), np.asarray(model.mix.bias[...])
  once = np.asarray(found["blocks.1"]) @ kernel + bias[None, None, None]
  np.testing.assert_allclose(found["mix#0"], once, atol=1e-5)
  want = once @ kernel + bias[None, None, None]
  np.testing.assert_allclose(found["mix#1"], want, atol=1e-5)
  np.testing.assert_array_equal(found["encode"], found["mix#1"])
  np.testing.assert_array_equal(found["encode[1]"], found["blocks.1"])
  np.testing.assert_array_equal(found["__call__"], found["head"])


def test_the_users_model_is_left_as_it_is(images):
  model = Model()
  kinds = [type(module) for _, module in nnx.iter_modules(model)]
  before = jax.tree.leaves(nnx.state(model, nnx.Param, nnx.BatchStat))
  probe = NnxProbe(model, PREPROCESSING)
  probe.activations(images, ("head",))
  assert [type(module) for _, module in nnx.iter_modules(model)] == kinds
  assert not model.blocks[0].drop.deterministic
  assert not model.blocks[0].norm.use_running_average
  assert not hasattr(model.blocks[0], "sown")
  after = jax.tree.leaves(nnx.state(model, nnx.Param, nnx.BatchStat))
  for one, other in zip(before, after, strict=True):
    np.testing.assert_array_equal(one, other)
  assert "told" not in Block.__call__.__qualname__
  logits, _ = nnx.capture(model, nnx.Intermediate)(jnp.zeros((1, 8, 8, 3)))
  assert logits.shape == (1, 7)


def test_only_the_chosen_layers_are_computed(probe, images):
  def flops(*layers):
    program = probe._program.lower(probe._params, images, layers=layers)
    return program.compile().cost_analysis()["flops"]

  assert flops("blocks.0.conv") < flops("blocks.0", "blocks.1.conv") / 2


def test_a_pattern_and_another_call(model, images, probe):
  own = NnxProbe(
    model,
    PREPROCESSING,
    pattern=r"blocks\.\d",
    call=lambda model, images: model.encode(images, train=False),
  )
  assert [shape.name for shape in own.layers()] == ["blocks.0", "blocks.1"]
  np.testing.assert_array_equal(
    own.activations(images, ("blocks.1",))["blocks.1"],
    probe.activations(images, ("blocks.1",))["blocks.1"],
  )


def test_threads_do_not_hear_each_other(model):
  probes = [NnxProbe(model, PREPROCESSING) for _ in range(4)]
  found = {}

  def listen(number):
    names = [shape.name for shape in probes[number].layers()]
    found[number] = tuple(names)

  threads = [threading.Thread(target=listen, args=(number,)) for number in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert found == dict.fromkeys(range(4), NAMES)
