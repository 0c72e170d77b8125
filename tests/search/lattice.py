"""A small model whose every description can be listed: a table of transitions."""

import itertools

import jax.numpy as jnp
import numpy as np

START, STOP, VOCAB = 5, 4, 6


class Lattice:
  """Scores each token by the two before it, differently for each unit."""

  def __init__(self, seed: int, batch: int):
    logits = np.random.default_rng(seed).normal(size=(batch, VOCAB, VOCAB, VOCAB)) * 2
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    self.table = logits.astype(np.float32)

  def state(self, beam: int = 1):
    """The token before the last one: none yet."""
    return jnp.full((len(self.table), beam), START)

  def step(self, before, last):
    rows = jnp.arange(len(self.table))[:, None]
    return last, jnp.asarray(self.table)[rows, before, last]

  def score(self, unit: int, tokens: tuple[int, ...]) -> float:
    """Sums the scores up to and including the first stop, token by token."""
    before, last, total = START, START, 0.0
    for token in tokens:
      total += float(self.table[unit, before, last, token])
      before, last = last, token
      if token == STOP:
        break
    return total

  def every(self, unit: int, length: int) -> list[tuple[float, tuple[int, ...]]]:
    """Lists every description of at most `length` tokens, best first."""
    found = {}
    for tokens in itertools.product(range(VOCAB), repeat=length):
      if STOP in tokens:
        end = tokens.index(STOP)
        tokens = tokens[:end] + (STOP,) * (length - end)
      found[tokens] = self.score(unit, tokens)
    return sorted(((s, t) for t, s in found.items()), reverse=True)
