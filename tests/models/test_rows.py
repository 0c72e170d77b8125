"""Both models over packed rows against their own steps."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.models.captioner import Captioner, CaptionerState, Regions
from milan_jax._src.models.captioner_rows import (
  CaptionerRows,
  fuse_captioner_weights,
  start_captioner,
)
from milan_jax._src.models.captioner_rows import RowState as CaptionerRowState
from milan_jax._src.models.language_model import LanguageModel
from milan_jax._src.models.language_model_rows import (
  LanguageModelRows,
  RowState,
  fuse_language_model_weights,
)
from milan_jax._src.models.products import (
  KernelByOutputs,
  dot,
  inner_products,
  times_transposed,
  weighted_sums,
)

BATCH, K, FEATURES, VOCAB = 3, 4, 20, 30
# Rows of units in any order; the fourth follows the parent of the second.
UNITS = jnp.array([2, 0, 1, 0, 2])
PARENTS = jnp.array([0, 1, 2, 1, 3])
TOKENS = jnp.array([5, 6, 7, 8, 29])


def _draw(shapes, seed=0):
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda x: jnp.asarray(rng.normal(size=x.shape) / 2, x.dtype), shapes
  )


@pytest.fixture
def captioner():
  model = Captioner(VOCAB, FEATURES, hidden_size=8, embedding_size=6, attention_size=7)
  features = _draw(jax.ShapeDtypeStruct((BATCH, K, FEATURES), jnp.float32))
  shapes = jax.eval_shape(
    model.init, jax.random.key(0), features, jnp.zeros((BATCH, 1), int)
  )
  return model, _draw(shapes, 1), features


@pytest.mark.parametrize("by_outputs", [False, True])
def test_captioner_starts_as_it_does_by_itself(captioner, by_outputs):
  model, variables, features = captioner
  regions, state = model.apply(variables, features, method="start")
  weights = fuse_captioner_weights(variables["params"], by_outputs=by_outputs)
  started = start_captioner(weights, features)
  np.testing.assert_allclose(started.keys, regions.keys, atol=1e-5)
  np.testing.assert_allclose(started.state.hidden, state.hidden[:, 0], atol=1e-6)
  np.testing.assert_allclose(started.state.cell, state.cell[:, 0], atol=1e-6)


# Type of the kernels, tolerance, and whether they are stored by outputs.
KINDS = [
  ("float32", 2e-6, False),
  ("float32", 2e-6, True),
  ("bfloat16", 0.05, False),
]


@pytest.mark.parametrize(("dtype", "atol", "by_outputs"), KINDS)
def test_captioner_steps_as_it_does_by_itself(captioner, dtype, atol, by_outputs):
  model, variables, features = captioner
  weights = fuse_captioner_weights(
    variables["params"], jnp.dtype(dtype), by_outputs=by_outputs
  )
  rows = CaptionerRows(
    weights, Regions(features, start_captioner(weights, features).keys)
  )
  units = UNITS[:4]
  before = _draw(CaptionerRowState(*[jax.ShapeDtypeStruct((4, 8), jnp.float32)] * 2), 2)
  partial = jax.tree.map(lambda x: x[PARENTS], rows.prepare(before, units))
  after = rows.read(partial, TOKENS)
  logits = rows.predict(after)
  for row, parent in enumerate(PARENTS.tolist()):
    unit = slice(int(units[parent]), int(units[parent]) + 1)
    alone = model.apply(variables, features[unit], method="start")[0]
    state = CaptionerState(*(x[None, None, parent] for x in before))
    token = TOKENS[None, row : row + 1]
    state, log_probs, _ = model.apply(variables, alone, state, token, method="step")
    np.testing.assert_allclose(after.hidden[row], state.hidden[0, 0], atol=atol)
    np.testing.assert_allclose(after.cell[row], state.cell[0, 0], atol=atol)
    found = jax.nn.log_softmax(logits[row])
    np.testing.assert_allclose(found, log_probs[0, 0], atol=atol)
  assert logits.dtype == after.hidden.dtype == jnp.float32


def test_regions_that_do_not_count_are_not_seen(captioner):
  _, variables, features = captioner
  weights = fuse_captioner_weights(variables["params"])
  counts = jnp.arange(BATCH) % K + 1
  started = start_captioner(weights, features, counts)
  rows = CaptionerRows(weights, Regions(features, started.keys, counts))
  for unit, count in enumerate(counts.tolist()):
    own = features[unit : unit + 1, :count]
    alone = start_captioner(weights, own)
    alone_rows = CaptionerRows(weights, Regions(own, alone.keys))
    state = jax.tree.map(lambda x, unit=unit: x[unit : unit + 1], started.state)
    np.testing.assert_allclose(state.hidden, alone.state.hidden, atol=1e-6)
    np.testing.assert_allclose(state.cell, alone.state.cell, atol=1e-6)
    found = rows.prepare(state, jnp.array([unit]))
    expected = alone_rows.prepare(alone.state, jnp.array([0]))
    np.testing.assert_allclose(found.gates, expected.gates, atol=1e-6)


@pytest.mark.parametrize(("dtype", "atol", "by_outputs"), KINDS)
def test_language_model_steps_as_it_does_by_itself(dtype, atol, by_outputs):
  model = LanguageModel(VOCAB, hidden_size=8, embedding_size=6, num_layers=3)
  shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 1), int))
  variables = _draw(shapes, 3)
  weights = fuse_language_model_weights(
    variables["params"], jnp.dtype(dtype), by_outputs=by_outputs
  )
  rows = LanguageModelRows(weights)
  layers = [jax.ShapeDtypeStruct((4, 8), jnp.float32)] * 3
  before = _draw(RowState(tuple(layers), tuple(layers)), 4)
  partial = jax.tree.map(lambda x: x[PARENTS], rows.prepare(before, UNITS[:4]))
  after = rows.read(partial, TOKENS)
  carries = tuple(
    (h[PARENTS], c[PARENTS]) for h, c in zip(before.hiddens, before.cells, strict=True)
  )
  carries, log_probs = model.apply(variables, carries, TOKENS, method="step")
  found = jax.nn.log_softmax(rows.predict(after), axis=-1)
  np.testing.assert_allclose(found, log_probs, atol=atol)
  for (hidden, cell), h, c in zip(carries, after.hiddens, after.cells, strict=True):
    np.testing.assert_allclose(h, hidden, atol=atol)
    np.testing.assert_allclose(c, cell, atol=atol)
  start = model.apply(variables, 1, method="start")
  np.testing.assert_array_equal(rows.start().hiddens[2], start[2][0])


@pytest.mark.parametrize("num", [1, 7, 8, 9])
def test_products_of_few_rows_in_bfloat16(num):
  rng = np.random.default_rng(num)
  left, right = rng.normal(size=(num, 33)), rng.normal(size=(33, 5))
  left, right = (x.astype(jnp.bfloat16).astype(np.float32) for x in (left, right))
  found = dot(jnp.asarray(left), jnp.asarray(right, jnp.bfloat16))
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, left @ right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("inputs", [1021, 1030, 3904])
@pytest.mark.parametrize("shape", [(1,), (5, 8), (127,), (200,)])
def test_products_of_many_inputs_in_bfloat16(shape, inputs):
  rng = np.random.default_rng(inputs)
  rows, kernel = rng.normal(size=(*shape, inputs)), rng.normal(size=(inputs, 3))
  rows, kernel = (x.astype(jnp.bfloat16).astype(np.float64) for x in (rows, kernel))
  narrow = jnp.asarray(kernel, jnp.bfloat16)
  found = jax.jit(dot)(jnp.asarray(rows, jnp.float32), narrow)
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, rows @ kernel, rtol=1e-5, atol=1e-3)
  gradient = jax.jit(times_transposed)(jnp.asarray(rows, jnp.bfloat16), narrow.T)
  assert gradient.dtype == jnp.float32
  np.testing.assert_allclose(gradient, rows @ kernel, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("shape", [(1,), (2, 3), (128,), (129,)])
def test_products_of_few_rows_in_float32(shape):
  rng = np.random.default_rng(len(shape))
  rows, kernel = rng.normal(size=(*shape, 33)), rng.normal(size=(33, 5))
  narrow, wide = (jnp.asarray(x, jnp.float32) for x in (rows, kernel))
  found = jax.jit(dot)(narrow, wide)
  np.testing.assert_allclose(found, rows @ kernel, rtol=1e-5, atol=1e-5)
  gradient = jax.jit(times_transposed)(narrow, wide.T)
  np.testing.assert_allclose(gradient, rows @ kernel, rtol=1e-5, atol=1e-5)
  assert found.shape == gradient.shape == (*shape, 5)


def test_sums_over_the_regions_of_each_unit():
  rng = np.random.default_rng(0)
  weights, rows, values = (rng.normal(size=s) for s in ((3, 4), (3, 5), (3, 4, 5)))
  given = [jnp.asarray(x, jnp.float32) for x in (weights, rows, values)]
  sums = np.einsum("bk,bkf->bf", weights, values)
  np.testing.assert_allclose(weighted_sums(given[0], given[2]), sums, atol=1e-5)
  looks = np.einsum("bf,bkf->bk", rows, values)
  np.testing.assert_allclose(inner_products(given[1], given[2]), looks, atol=1e-5)


@pytest.mark.parametrize("shape", [(1,), (2, 3), (16,), (17,), (200,)])
def test_products_with_kernels_stored_by_outputs(shape):
  rng = np.random.default_rng(len(shape))
  rows, kernel = rng.normal(size=(*shape, 33)), rng.normal(size=(33, 5))
  stored = KernelByOutputs.of(jnp.asarray(kernel, jnp.float32))
  assert (stored.shape, stored.size, stored.dtype) == ((33, 5), 165, jnp.float32)
  compiled = jax.jit(dot).lower(jnp.asarray(rows, jnp.float32), stored).compile()
  found = compiled(jnp.asarray(rows, jnp.float32), stored)
  np.testing.assert_allclose(found, rows @ kernel, rtol=1e-5, atol=1e-5)
  assert found.shape == (*shape, 5)


@pytest.mark.parametrize("num", [2, 16, 50])
def test_a_kernel_stored_by_outputs_is_the_left_operand(num):
  """Where few rows are fast: as the right operand, it would be copied."""
  rows, kernel = jnp.ones((num, 48)), KernelByOutputs(jnp.ones((80, 48)))
  program = jax.jit(dot).lower(rows, kernel).compile().as_text()
  columns = num + -num % 16
  assert re.findall(r" (f32\[[\d,]+\])\S* dot\(", program) == [f"f32[80,{columns}]"]


def test_a_release_is_fused_from_numpy(tiny):
  spec = dataclasses.asdict(tiny.captioner)
  weights = fuse_captioner_weights(tiny.params["captioner"])
  assert weights.words.shape == (spec["vocab_size"], 4 * spec["hidden_size"])
