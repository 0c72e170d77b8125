"""A peer in JAX: a textbook beam search over milan-jax's own step.

The algorithm of Flax's example of translation: the hypotheses of all units are the rows
of one batch, every row is stepped at every step, finished or not, and the states of the
best are gathered. The parents' terms and the language model's prefixes are not shared.
In one respect it follows the paper's search, so that all contenders end alike: finished
hypotheses stay in the same pool, and the loop ends when all have stopped.

References:
  Flax, `examples/wmt/decode.py`.
"""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from milan_jax._src.decoding.decoder import fuse_for
from milan_jax._src.decoding.weights import Weights, language_model_rows
from milan_jax._src.models.captioner import Regions
from milan_jax._src.models.captioner_rows import CaptionerRows, start_captioner
from milan_jax._src.models.encoder import project
from milan_jax._src.models.language_model_rows import LanguageModelRows
from milan_jax._src.models.transformer import TransformerRows
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.search.steps import BoundModel, RowModel, State
from milan_jax._src.store.release import Release
from milan_jax._src.text.vocabulary import Vocabulary

# Position, tokens, scores, last tokens, states.
_Carry = tuple[Array, Array, Array, Array, State]


def flat_beam_search(
  captioner: BoundModel,
  *,
  beam_size: int,
  length: int,
  start_id: int,
  stop_id: int,
) -> tuple[Int[Array, "batch beam length"], Float[Array, "batch beam"]]:
  """Searches with all hypotheses as rows of one batch.

  Args:
    captioner: p(token | regions, previous tokens), and each unit's initial row.
    beam_size: number of hypotheses kept.
    length: maximum tokens of a description, stop included.
    start_id: the token read first.
    stop_id: the token that ends a description.

  Returns:
    Tokens of each unit's best hypotheses, stop after the first stop, and their scores.
  """
  batch, model = len(captioner.rows), captioner.model
  units = jnp.repeat(jnp.arange(batch, dtype=jnp.int32), beam_size)
  first_rows = jnp.arange(batch, dtype=jnp.int32)[:, None] * beam_size
  is_first = (jnp.arange(beam_size) == 0)[None]
  scores = jnp.broadcast_to(jnp.where(is_first, 0.0, -jnp.inf), (batch, beam_size))
  last = jnp.full((batch, beam_size), start_id, jnp.int32)
  tokens = jnp.full((batch, beam_size, length), stop_id, jnp.int32)
  state = _take(captioner.state, captioner.rows[units])

  def unfinished(carry: _Carry) -> Array:
    position, _, _, last, _ = carry
    return (position < length) & jnp.any(last != stop_id)

  def step(carry: _Carry) -> _Carry:
    position, tokens, scores, last, state = carry
    log_probs, state = _step(model, state, units, last.reshape(-1))
    vocab = log_probs.shape[-1]
    only_stop = jnp.where(jnp.arange(vocab) == stop_id, 0.0, -jnp.inf)
    log_probs = jnp.where(
      (last == stop_id)[..., None],
      only_stop[None, None],
      log_probs.reshape(batch, beam_size, vocab),
    )
    totals = (scores[..., None] + log_probs).reshape(batch, beam_size * vocab)
    scores, picks = jax.lax.top_k(totals, beam_size)
    parents, last = picks // vocab, picks % vocab
    tokens = jnp.take_along_axis(tokens, parents[..., None], axis=1)
    tokens = tokens.at[:, :, position].set(last)
    state = _take(state, (first_rows + parents).reshape(-1))
    return position + 1, tokens, scores, last, state

  carry = (jnp.zeros((), jnp.int32), tokens, scores, last, state)
  _, tokens, scores, _, _ = jax.lax.while_loop(unfinished, step, carry)
  return tokens, scores


def _step(
  model: RowModel, state: State, units: Int[Array, "rows"], tokens: Int[Array, "rows"]
) -> tuple[Float[Array, "rows vocab"], State]:
  """Reads a token per row; returns the log probabilities of the next, and the state."""
  state = model.read(model.prepare(state, units), tokens)
  return jax.nn.log_softmax(model.predict(state), axis=-1), state


def _take(state: State, rows: Int[Array, "rows"]) -> State:
  return jax.tree.map(lambda x: x[rows], state)


def language_model_scores(
  model: LanguageModelRows | TransformerRows,
  tokens: Int[Array, "batch beam length"],
  *,
  start_id: int,
  stop_id: int,
) -> Float[Array, "batch beam"]:
  """Scores whole descriptions up to the first stop, every row at every position."""
  batch, beam_size, length = tokens.shape
  flat = tokens.reshape(batch * beam_size, length)
  rows = jnp.zeros(len(flat), jnp.int32)
  inputs = jnp.concatenate(
    [jnp.full((len(flat), 1), start_id, jnp.int32), flat[:, :-1]], axis=1
  )

  def score(state: State, pair: Any) -> tuple[State, Array]:
    read, predicted = pair
    log_probs, state = _step(model, state, rows, read)
    return state, jnp.take_along_axis(log_probs, predicted[:, None], axis=1)[:, 0]

  _, gains = jax.lax.scan(score, _take(model.start(), rows), (inputs.T, flat.T))
  counts = inputs != stop_id  # stop is read after the first stop only
  return (gains.T * counts).sum(-1).reshape(batch, beam_size)


class FlatBeamDecoder:
  """Describes units by `flat_beam_search`, on one device.

  Args:
    release: captioner and language model.
    strategy: greedy, beam or rerank.
    beam_size: hypotheses per unit; greedy keeps one.
    length: maximum number of tokens per description, including stop.
    precision: float32, tensorfloat32 or bfloat16.
  """

  def __init__(
    self,
    release: Release,
    *,
    strategy: str,
    beam_size: int,
    length: int,
    precision: str,
  ):
    vocabulary = Vocabulary(release.vocabulary)
    ends = {"start_id": vocabulary.start_id, "stop_id": vocabulary.stop_id}
    size = 1 if strategy == "greedy" else beam_size
    temperature = release.decoding.temperature
    kind = "tensorfloat32" if precision == "tensorfloat32" else "highest"

    def decode(weights: Weights, features: Array) -> tuple[Array, Array]:
      if weights.projection is not None:
        features = project(features, weights.projection)
      keys, state = start_captioner(weights.captioner, features)
      rows = jnp.arange(len(features), dtype=jnp.int32)
      model = CaptionerRows(weights.captioner, Regions(features, keys, None))
      tokens, scores = flat_beam_search(
        BoundModel(model, state, rows), beam_size=size, length=length, **ends
      )
      best = jnp.zeros(len(features), jnp.int32)  # the first
      if strategy == "rerank":
        assert weights.language_model is not None
        lm = language_model_rows(weights.language_model, length)
        scores = scores - temperature * language_model_scores(lm, tokens, **ends)
        best = scores.argmax(axis=1)
      return tokens[rows, best], scores[rows, best]

    def with_precision(weights: Weights, features: Array) -> tuple[Array, Array]:
      with jax.default_matmul_precision(kind):
        return decode(weights, features)

    params = {
      name: tree
      for name, tree in release.params.items()
      if name in ("captioner", "language_model", "projection")
    }
    fuse = fuse_for(Decoding("greedy", precision=precision), jax.devices()[0].platform)
    self._weights: Weights = jax.jit(fuse)(jax.tree.map(jnp.asarray, params))
    self._program: Any = jax.jit(with_precision)

  def compile(self, features: Float[np.ndarray, "batch k features"]) -> float:
    """Compiles for features of this shape; returns the seconds."""
    began = time.perf_counter()
    self._program = self._program.lower(self._weights, jnp.asarray(features)).compile()
    return time.perf_counter() - began

  def __call__(
    self, features: Float[np.ndarray, "batch k features"]
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns the tokens and the score of each unit."""
    tokens, scores = self._program(self._weights, jnp.asarray(features))
    return np.asarray(tokens), np.asarray(scores)
