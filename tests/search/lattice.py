"""A small model whose every description can be listed: a table of transitions."""

import itertools

import jax.numpy as jnp
import numpy as np

from milan_jax._src.search.steps import BoundModel

START, STOP, VOCAB = 5, 4, 6


class Lattice:
  """Scores each token by the two before it, differently for each unit.

  A `search.steps.RowModel`: a state is the last two tokens and the unit.
  """

  def __init__(self, seed: int, batch: int):
    logits = np.random.default_rng(seed).normal(size=(batch, VOCAB, VOCAB, VOCAB)) * 2
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    self.table = logits.astype(np.float32)

  def bound(self) -> BoundModel:
    """The model, each unit at a state of its own that has read nothing."""
    batch = len(self.table)
    starts = jnp.full(batch, START, jnp.int32)
    units = jnp.arange(batch, dtype=jnp.int32)
    return BoundModel(self, (starts, starts, units), units)

  def prepare(self, state, units):
    return state[1], units

  def read(self, partial, tokens):
    last, units = partial
    return last, tokens, units

  def predict(self, state):
    before, last, units = state
    return jnp.asarray(self.table)[units, before, last]

  def gains(self, unit: int, tokens: tuple[int, ...]) -> list[float]:
    """The scores up to and including the first stop, token by token."""
    before, last, found = START, START, []
    for token in tokens:
      found.append(float(self.table[unit, before, last, token]))
      before, last = last, token
      if token == STOP:
        break
    return found

  def score(self, unit: int, tokens: tuple[int, ...]) -> float:
    """Sums the scores up to and including the first stop."""
    return sum(self.gains(unit, tokens))

  def every(self, unit: int, length: int) -> list[tuple[float, tuple[int, ...]]]:
    """Lists every description of at most `length` tokens, best first."""
    found = {}
    for tokens in itertools.product(range(VOCAB), repeat=length):
      if STOP in tokens:
        end = tokens.index(STOP)
        tokens = tokens[:end] + (STOP,) * (length - end)
      found[tokens] = self.score(unit, tokens)
    return sorted(((s, t) for t, s in found.items()), reverse=True)
