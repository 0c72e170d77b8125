import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.images.preprocessing import Preprocessing
from milan_jax._src.probe.callable_model import CallableProbe
from milan_jax._src.probe.linen_module import LinenProbe

PREPROCESSING = Preprocessing(10, 8, "bilinear", (100.0, 110.0, 120.0), (50.0,) * 3)


class Pair(nn.Module):
  @nn.compact
  def __call__(self, maps):
    return maps + 1, maps * 2


class Block(nn.Module):
  units: int

  @nn.compact
  def __call__(self, maps, train):
    maps = nn.Conv(self.units, (3, 3), name="z_conv")(maps)
    self.sow("intermediates", "sown", maps - 1)
    maps = nn.BatchNorm(use_running_average=not train, name="norm")(maps)
    return nn.Dropout(0.5, deterministic=not train, name="a_drop")(maps)


class Model(nn.Module):
  def setup(self):
    self.blocks = [Block(4), Block(5)]
    self.mix = nn.Dense(5)
    self.pair = Pair()
    self.head = nn.Dense(7)

  def encode(self, images, train):
    maps = self.blocks[1](self.blocks[0](images, train), train)
    return self.mix(self.mix(maps))

  def _private(self, maps):
    return maps

  def __call__(self, images, train: bool = True):
    first, second = self.pair(self._private(self.encode(images, train)))
    return {"logits": self.head((first + second).mean((1, 2)))}


NAMES = (
  *("blocks_0.z_conv", "blocks_0.sown", "blocks_0.norm", "blocks_0.a_drop", "blocks_0"),
  *("blocks_1.z_conv", "blocks_1.sown", "blocks_1.norm", "blocks_1.a_drop", "blocks_1"),
  *("mix#0", "mix#1", "encode", "pair", "pair[1]", "head", "__call__[logits]"),
)


@pytest.fixture(scope="module")
def variables():
  def init(key):
    return Model().init(key, jnp.zeros((1, 8, 8, 3)), train=False)

  variables = jax.jit(init)(jax.random.key(0))
  # Statistics that distinguish training from evaluation.
  moved = jax.tree.map(lambda leaf: leaf + 0.5, variables["batch_stats"])
  sown = {"blocks_0": {"sown": (jnp.zeros((2, 8, 8, 4)),)}}  # from another run
  return {**variables, "batch_stats": moved, "intermediates": sown}


@pytest.fixture(scope="module")
def images():
  return np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def probe(variables):
  return LinenProbe(Model(), variables, PREPROCESSING)


def normalized(images):
  return (images - np.float32([100, 110, 120])) / np.float32(50)


def convolve(maps, kernel, bias):
  padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
  windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
  return np.einsum("bhwcij,ijcu->bhwu", windows, kernel) + bias[None, None, None]


def test_names_are_paths_in_the_order_of_execution(probe):
  assert tuple(shape.name for shape in probe.layers()) == NAMES
  shapes = {shape.name: (shape.height, shape.units) for shape in probe.layers()}
  assert shapes["blocks_0"] == (8, 4)
  assert shapes["__call__[logits]"] == (1, 7)


def test_values_in_inference(probe, variables, images):
  found = probe.activations(images, NAMES)
  params = jax.tree.map(np.asarray, variables["params"])
  block = params["blocks_0"]
  conv = convolve(normalized(images), **block["z_conv"])
  np.testing.assert_allclose(found["blocks_0.z_conv"], conv, atol=1e-5)
  np.testing.assert_allclose(found["blocks_0.sown"], conv - 1, atol=1e-5)
  # The statistics are a mean of 0.5 and a variance of 1.5.
  norm = (conv - 0.5) / np.sqrt(1.5 + 1e-5) * block["norm"]["scale"][None, None, None]
  norm += block["norm"]["bias"][None, None, None]
  np.testing.assert_allclose(found["blocks_0.norm"], norm, atol=1e-5)
  np.testing.assert_allclose(found["blocks_0"], norm, atol=1e-5)
  mix, bias = params["mix"]["kernel"], params["mix"]["bias"][None, None, None]
  once = np.asarray(found["blocks_1"]) @ mix + bias
  np.testing.assert_allclose(found["mix#0"], once, atol=1e-5)
  np.testing.assert_allclose(found["mix#1"], once @ mix + bias, atol=1e-5)
  np.testing.assert_array_equal(found["encode"], found["mix#1"])
  np.testing.assert_allclose(found["pair"], found["encode"] + 1, atol=1e-6)
  np.testing.assert_allclose(found["pair[1]"], found["encode"] * 2, atol=1e-6)
  np.testing.assert_array_equal(found["__call__[logits]"], found["head"])


def test_only_the_chosen_layers_are_computed(probe, images):
  def flops(*layers):
    program = probe._program.lower(probe._params, images, layers=layers)
    return program.compile().cost_analysis()["flops"]

  block = flops("blocks_0.z_conv")
  assert block < flops("blocks_0", "blocks_1.z_conv") / 2
  # The last convolution is not computed for it.
  np.testing.assert_allclose(flops("blocks_0.sown"), block, rtol=0.1)


def test_a_pattern_chooses_names(variables):
  probe = LinenProbe(Model(), variables, PREPROCESSING, pattern=r".*conv|mix#\d")
  names = [shape.name for shape in probe.layers()]
  assert names == ["blocks_0.z_conv", "blocks_1.z_conv", "mix#0", "mix#1"]


def test_another_call(variables, images, probe):
  own = LinenProbe(
    Model(),
    variables,
    PREPROCESSING,
    call=lambda module, images: module.encode(images[:, ::-1], train=False),
  )
  assert "head" not in {shape.name for shape in own.layers()}
  flipped = images[:, ::-1].copy()
  np.testing.assert_array_equal(
    own.activations(images, ("encode",))["encode"],
    probe.activations(flipped, ("encode",))["encode"],
  )


def test_an_option_among_the_attributes(images):
  class Dropped(nn.Module):
    deterministic: bool = False

    @nn.compact
    def __call__(self, images):
      return nn.Dropout(0.5, deterministic=self.deterministic, name="drop")(images)

  probe = LinenProbe(Dropped(), {}, PREPROCESSING)
  found = probe.activations(images, ("drop",))["drop"]
  np.testing.assert_allclose(found, normalized(images), atol=1e-6)


@pytest.mark.parametrize(
  ("returned", "words"),
  [
    (lambda images: None, "returns no floating-point array: return one"),
    (lambda images: {"mask": images > 0}, "returns no floating-point array"),
    (lambda images: images.mean(), r"returns __call__ of shape \(\) for 13 images"),
    (
      lambda images: np.sort(np.asarray(images)),
      "JAX cannot trace it; write it with jax",
    ),
    (lambda images: images if images.max() > 0 else None, "JAX cannot trace it; write"),
  ],
)
def test_what_a_module_returns_that_cannot_be_read(returned, words):
  class Odd(nn.Module):
    def __call__(self, images):
      return returned(images)

  with pytest.raises(UserError, match=words) as error:
    LinenProbe(Odd(), {}, PREPROCESSING).layers()
  assert "\n" not in str(error.value)


def test_a_module_that_cannot_be_traced_can_be_called_by_a_function(images):
  class Sorts(nn.Module):
    def __call__(self, images):
      return {"sorted": np.sort(np.asarray(images), axis=3)}

  probe = CallableProbe(lambda images: Sorts().apply({}, images), PREPROCESSING)
  found = probe.activations(images, ("sorted",))["sorted"]
  np.testing.assert_allclose(found, np.sort(normalized(images), axis=3), atol=1e-5)


def test_variables_that_do_not_fit(variables):
  probe = LinenProbe(Model(), variables["params"], PREPROCESSING)
  with pytest.raises(UserError, match="does not run on images of 8 x 8 pixels"):
    probe.layers()
