"""The transformer beside torch's functions, and token by token beside itself."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.decoding.decoder import Decoder
from milan_jax._src.errors import UserError
from milan_jax._src.models.language_models import make_language_model
from milan_jax._src.models.transformer import (
  TransformerLanguageModel,
  TransformerRows,
  fuse_transformer_weights,
)
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.options.train import TrainOptions
from milan_jax._src.store.release import LanguageModelSpec, load_release, save_release
from milan_jax._src.training.training_run import train
from tests.helpers.recorded import arrays_and_strings

VOCAB, WIDTH, EMBEDDING, LAYERS, LENGTH = 30, 128, 12, 2, 7
MODEL = TransformerLanguageModel(VOCAB, WIDTH, EMBEDDING, LAYERS, dropout=0.3)


def random_params(model, seed=0):
  rng = np.random.default_rng(seed)
  tokens = jnp.zeros((1, 1), int)
  shapes = jax.eval_shape(model.init, jax.random.key(0), tokens)["params"]
  return jax.tree.map(
    lambda x: jnp.asarray(rng.normal(size=x.shape) / 6, x.dtype), shapes
  )


@pytest.fixture(scope="module")
def params():
  return random_params(MODEL)


@pytest.fixture(scope="module")
def tokens():
  return jnp.asarray(np.random.default_rng(2).integers(0, VOCAB, size=(3, LENGTH)))


def torch_log_probs(params, tokens):
  """The same model by torch's functions, its positions by complex numbers."""
  torch = pytest.importorskip("torch")
  functional = torch.nn.functional
  tree = jax.tree.map(lambda x: torch.tensor(np.array(x)), params)

  def linear(inputs, layer):
    return functional.linear(inputs, layer["kernel"].T, layer["bias"])

  def norm(inputs, layer):
    return functional.layer_norm(
      inputs, inputs.shape[-1:], layer["scale"], layer["bias"], eps=1e-6
    )

  def rotate(vectors):
    half = vectors.shape[-1] // 2
    rates = 10_000.0 ** (-torch.arange(half) / half)
    angles = torch.arange(vectors.shape[-2])[:, None] * rates
    numbers = torch.complex(vectors[..., :half], vectors[..., half:])
    turned = numbers * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], -1)

  values = linear(tree["embedding"]["embedding"][np.array(tokens)], tree["widen"])
  batch, length, width = values.shape
  for i in range(LAYERS):
    block = tree[f"block_{i}"]
    parts = linear(norm(values, block["norm_attention"]), block["project"]).chunk(3, -1)
    queries, keys, looks = (
      part.reshape(batch, length, width // 64, 64).transpose(1, 2) for part in parts
    )
    found = functional.scaled_dot_product_attention(
      rotate(queries), rotate(keys), looks, is_causal=True
    )
    found = found.transpose(1, 2).reshape(batch, length, width)
    values = values + linear(found, block["mix"])
    wide = linear(norm(values, block["norm_hidden"]), block["widen"])
    wide = functional.gelu(wide, approximate="tanh")
    values = values + linear(wide, block["narrow"])
  logits = linear(norm(values, tree["norm"]), tree["output"])
  return logits.log_softmax(-1).numpy()


def test_log_probabilities_are_those_of_torch_s_functions(params, tokens):
  found = MODEL.apply({"params": params}, tokens)
  np.testing.assert_allclose(found, torch_log_probs(params, tokens), atol=2e-5)


def test_packed_rows_read_token_by_token_what_the_whole_reads(params, tokens):
  expected = MODEL.apply({"params": params}, tokens)
  rows = TransformerRows(fuse_transformer_weights(params), context=LENGTH)
  state = jax.tree.map(lambda x: jnp.repeat(x, 3, axis=0), rows.start())
  for step in range(LENGTH):
    units = jnp.zeros(3, jnp.int32)
    state = rows.read(rows.prepare(state, units), tokens[:, step])
    found = jax.nn.log_softmax(rows.predict(state))
    np.testing.assert_allclose(found, expected[:, step], atol=1e-5)


@pytest.fixture(scope="module")
def released(tiny):
  """The recorded captioner with a transformer for its language model."""
  spec = LanguageModelSpec(32, 8, 2, tiny.captioner.vocab_size, 0.1, "transformer")
  model = make_language_model(**dataclasses.asdict(spec))
  params = {**tiny.params, "language_model": random_params(model, 3)}
  return dataclasses.replace(tiny, language_model=spec, params=params)


def test_a_release_with_a_transformer_reranks_by_its_probabilities(released, tmp_path):
  save_release(released, tmp_path)
  loaded = load_release(tmp_path)
  assert loaded.language_model == released.language_model
  features = arrays_and_strings("decoding")[0]["features"][:4]
  keys = jax.random.split(jax.random.key(0), 4)
  decoding = Decoding("rerank", length=6, beam_size=5, temperature=0.7)
  found = Decoder(loaded, decoding, batch_size=4)(features, keys)
  vocab = loaded.captioner.vocab_size
  start, stop = vocab - 4, vocab - 3
  model = make_language_model(**dataclasses.asdict(loaded.language_model))
  tokens = np.asarray(found.tokens)
  inputs = np.pad(tokens, ((0, 0), (1, 0)), constant_values=start)[:, :-1]
  inputs = jnp.asarray(inputs)
  log_probs = model.apply({"params": loaded.params["language_model"]}, inputs)
  each = np.take_along_axis(np.asarray(log_probs), tokens[..., None], 2)[..., 0]
  before = np.cumsum(tokens == stop, axis=1) - (tokens == stop)
  expected = np.where(before == 0, each, 0).sum(1)
  np.testing.assert_allclose(found.lm_log_probs, expected, rtol=1e-5)
  np.testing.assert_allclose(
    found.scores, found.log_probs - 0.7 * expected, rtol=1e-4, atol=1e-4
  )


def test_a_width_that_heads_do_not_divide_and_an_unknown_kind_are_refused():
  with pytest.raises(UserError, match="such as 198 or 204"):
    LanguageModelSpec(200, 8, 2, 30, 0.1, "transformer")
  with pytest.raises(UserError, match="architecture must be one of"):
    LanguageModelSpec(200, 8, 2, 30, 0.1, "rnn")


@pytest.mark.parametrize(
  ("width", "words"),
  [
    (1, "an even width, such as 2;"),
    (127, "an even width, such as 126 or 128;"),
    (130, "a width that 2 attention heads divide into even parts, such as 128 or 132 "),
  ],
)
def test_such_a_width_is_refused_before_the_training(tmp_path, width, words):
  options = TrainOptions.of(
    workdir=str(tmp_path), lm_architecture="transformer", lm_hidden_size=width
  )
  with pytest.raises(UserError) as error:
    train(options)
  assert f"--lm_hidden_size: expected {words}" in error.value.for_command_line
