"""Products are in full float32, whatever default of JAX the caller has set."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.decoding.decoder import Decoder
from milan_jax._src.images.preprocessing import Preprocessing
from milan_jax._src.models.backbones import backbone
from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.encoder import pool
from milan_jax._src.models.language_model import LanguageModel
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.probe import jax_generator
from milan_jax._src.probe.callable_model import CallableProbe
from milan_jax._src.probe.flax_backbone import FlaxProbe
from milan_jax._src.probe.linen_module import LinenProbe
from milan_jax._src.text.vocabulary import Vocabulary
from milan_jax._src.training import batches, losses, objectives, state, step
from milan_jax._src.training.greedy_bleu import GreedyBleu
from tests.helpers.tiny_linen import linen
from tests.helpers.tiny_release import tiny_release

HIGHEST = {(jax.lax.Precision.HIGHEST,) * 2}
PLAIN = Preprocessing(32, 32, "bilinear", (127.5,) * 3, (127.5,) * 3)
IMAGES = np.zeros((2, 32, 32, 3), np.uint8)


@pytest.fixture(autouse=True)
def rounding_caller():
  """The caller's own default rounds operands to 7 bits."""
  with jax.default_matmul_precision("bfloat16"):
    yield


def precisions(function, *arguments) -> set:
  """The precisions of all products that a function makes, in loops too."""
  return set(_precisions(jax.make_jaxpr(function)(*arguments)))


def _precisions(jaxpr):
  for equation in jaxpr.eqns:
    if equation.primitive.name in ("dot_general", "conv_general_dilated"):
      yield equation.params["precision"]
    inner = jax.tree.leaves(equation.params, is_leaf=lambda x: hasattr(x, "eqns"))
    for one in inner:
      if hasattr(one, "eqns"):
        yield from _precisions(one)


def _product(images):
  return {"maps": images @ jnp.ones((3, 4))}


def test_the_callers_default_would_round():
  found = precisions(_product, jnp.zeros((1, 2, 2, 3)))
  assert found == {(jax.lax.Precision.DEFAULT,) * 2}


@pytest.mark.parametrize("name", ["alexnet", "efficientnet-lite0"])
def test_backbones(name):
  network = backbone(name)
  params = jax.eval_shape(lambda: network.init(jax.random.key(0)))
  images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
  layers = (network.layer_names[-1],)
  found = precisions(lambda *x: network.apply(*x, layers), params, images)
  assert found == HIGHEST


def test_pooling():
  level = jnp.ones((1, 4, 4, 3))
  assert precisions(pool, (level,), jnp.ones((1, 2, 8, 8), bool)) == HIGHEST


def test_probes_of_jax_models():
  network = backbone("efficientnet-lite0")
  probes = [
    (FlaxProbe(network, network.init(jax.random.key(0)), 32), "blocks.0.bn1"),
    (LinenProbe(*linen(), PLAIN), "head"),
    (CallableProbe(_product, PLAIN), "maps"),
  ]
  for probe, layer in probes:
    for _ in range(2):
      assert precisions(partial(probe.activations, IMAGES, (layer,))) == HIGHEST
      probe.reread({})


def test_nnx_modules():
  from flax import nnx

  from milan_jax._src.probe.nnx_module import NnxProbe

  class Network(nnx.Module):
    def __init__(self):
      self.stem = nnx.Conv(3, 4, (8, 8), strides=8, rngs=nnx.Rngs(0))

    def __call__(self, images):
      return self.stem(images)

  probe = NnxProbe(Network(), PLAIN)
  assert precisions(lambda: probe.activations(IMAGES, ("stem",))) == HIGHEST


def test_a_function_that_is_not_compiled():
  seen = []

  def function(images):
    seen.append(jax.config.jax_default_matmul_precision)
    return {"maps": np.asarray(images) @ np.ones((3, 4))}

  probe = CallableProbe(function, PLAIN, compiled=False)
  probe.activations(IMAGES, ("maps",))
  assert set(seen) == {"highest"}


def test_generators():
  def function(latents):
    images = (latents @ jnp.ones((5, 8 * 8 * 3))).reshape(-1, 8, 8, 3)
    return images, {"maps": images}

  probe = jax_generator.JaxGenerator(function, (5,))
  whole, arguments = jax.tree_util.Partial(function), [jnp.zeros((2, 5))]
  assert probe.layers()
  found = precisions(
    lambda x: jax_generator._activations(whole, x, ("maps",)), arguments
  )
  assert found == HIGHEST
  assert precisions(lambda x: jax_generator._images(whole, x), arguments) == HIGHEST


def test_a_model_keeps_the_precision_that_it_names():
  def function(images):
    kernel = jnp.ones((3, 4))
    return {"maps": jnp.matmul(images, kernel, precision="tensorfloat32")}

  probe = CallableProbe(function, PLAIN)
  found = precisions(lambda: probe.activations(IMAGES, ("maps",)))
  assert len(found) == 1
  assert found != HIGHEST


@pytest.mark.parametrize("is_captioner", [True, False])
def test_training(is_captioner):
  tokens = np.ones((2, 3), np.int32)
  weights = np.ones(2, np.float32)
  features = np.ones((2, 2, 6), np.float32)
  if is_captioner:
    model = Captioner(9, 6, 4, 5, 4)
    objective = objectives.captioner_objective(model, pad_id=0)
    names, inputs = objectives.CAPTIONER_TERMS, (features, tokens)
  else:
    model = LanguageModel(9, 4, 5, 2, pad_id=0)
    objective = objectives.language_model_objective(model, pad_id=0)
    names, inputs = objectives.LANGUAGE_MODEL_TERMS, (tokens,)
  params = jax.jit(model.init)(jax.random.key(0), *inputs)["params"]
  batch = batches.Batch(tokens, tokens, weights, features if is_captioner else None)
  optimizer = state.make_optimizer()
  start = state.start_state(params, optimizer=optimizer, seed=0)
  terms = losses.no_terms(names)
  assert precisions(step.make_step(objective, optimizer), start, terms, batch) == (
    HIGHEST
  )
  assert precisions(step.make_evaluation(objective), params, terms, batch) == HIGHEST


@pytest.fixture(scope="module")
def release():
  return tiny_release()


def test_captions_in_training(release):
  vocabulary = Vocabulary(release.vocabulary)
  measure = GreedyBleu(np.zeros, [], vocabulary=vocabulary, length=3)
  arguments = release.params["captioner"], np.zeros((64, 2, 32), np.float32)
  found = precisions(measure._captions, *arguments, np.ones(64, bool))
  assert found == HIGHEST


@pytest.mark.parametrize(
  ("precision", "stated"), [("float32", "highest"), ("tensorfloat32", "high")]
)
def test_decoding(release, precision, stated):
  decoding = Decoding("rerank", 3, 2, precision=precision, consensus=1.0)
  decoder = Decoder(release, decoding, batch_size=1)
  decoder.compile(2)
  program = decoder._compiled[2, False].as_text()
  products = re.findall(r" dot\(.*", program)
  assert products
  assert all(f"{{{stated},{stated}}}" in one for one in products), products
