"""Consensus against the sum over all pairs, written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.search.consensus import log_consensus
from milan_jax._src.search.steps import Beams
from tests.search.similarity import f1

STOP = 9
# Tokens 0 and 1 are one word, 4 and the stop none.
CONTENT = np.array([1, 1, 2, 3, 0, 4, 5, 6, 7, 0])
NOTHING = np.array([[4, 5, STOP, STOP, STOP], [6, STOP, STOP, STOP, STOP]])
LENGTH = 5


def _beams(rows, scores):
  tokens = np.full((1, len(rows), LENGTH), STOP)
  for place, row in enumerate(rows):
    tokens[0, place, : len(row)] = row
  return Beams(jnp.array(tokens), jnp.array([scores], jnp.float32), jnp.array(LENGTH))


def _by_hand(rows, scores):
  def said(row):
    if list(row) in ([4, 5], [6]):
      return {"nothing"}
    return {int(CONTENT[token]) for token in row} - {0}

  sets = [said(row) for row in rows]
  likely = np.exp(np.array(scores)) / np.exp(scores).sum()
  return [
    sum(p * f1(one, other) for p, other in zip(likely, sets, strict=True))
    for one in sets
  ]


def test_it_is_the_expected_f1_of_content_words():
  rng = np.random.default_rng(0)
  for _ in range(20):
    rows = [rng.integers(0, STOP, rng.integers(0, LENGTH + 1)) for _ in range(8)]
    rows += [[4, 5], [6], [4], []]
    scores = rng.normal(size=len(rows)) * 2
    found = log_consensus(_beams(rows, scores), CONTENT, NOTHING)
    np.testing.assert_allclose(np.exp(found[0]), _by_hand(rows, scores), rtol=1e-5)


@pytest.mark.parametrize(
  ("rows", "expected"),
  [
    ([[0, 2], [2, 1]], [1.0, 1.0]),  # one meaning, in two orders and two numbers
    ([[0, 0, 1], [1]], [1.0, 1.0]),  # a repeated word counts once
    ([[2], [3]], [0.5, 0.5]),
    ([[4], []], [1.0, 1.0]),  # nothing but words of grammar
    ([[4, 5], [6]], [1.0, 1.0]),  # both say that there is nothing
    ([[5], [6]], [0.5, 0.5]),
    ([[2, 3], [2]], [5 / 6, 5 / 6]),
  ],
)
def test_what_counts_as_one(rows, expected):
  found = log_consensus(_beams(rows, [0.0, 0.0]), CONTENT, NOTHING)
  np.testing.assert_allclose(np.exp(found[0]), expected, rtol=1e-6)


def test_a_meaning_of_many_wordings_beats_a_likelier_one_of_a_single():
  rows = [[7, 3], [0, 2], [2, 1], [2, 4, 0]]
  scores = np.log([0.4, 0.2, 0.2, 0.2])
  found = np.exp(log_consensus(_beams(rows, scores), CONTENT, NOTHING)[0])
  np.testing.assert_allclose(found, [0.4, 0.6, 0.6, 0.6], rtol=1e-5)


def test_many_content_words():
  content = np.append(np.arange(1, 100), 0)  # the last is the stop
  rng = np.random.default_rng(1)
  rows = [rng.choice(99, LENGTH, replace=False) for _ in range(30)]
  rows += [rows[0], rng.permutation(rows[1])]
  beams = Beams(jnp.array([rows]), jnp.zeros((1, 32)), jnp.array(LENGTH))
  found = np.exp(log_consensus(beams, content, np.full((0, LENGTH), 99))[0])
  shared = [[len({*one} & {*other}) / LENGTH for other in rows] for one in rows]
  np.testing.assert_allclose(found, np.mean(shared, 1), rtol=1e-5)


def test_units_are_apart_and_it_compiles_without_any_saying():
  one, other = ([[0], [2]], [0.0, 0.0]), ([[3, 2], [2]], [0.0, -1.0])
  apart = [log_consensus(_beams(*each), CONTENT, NOTHING[:0]) for each in (one, other)]
  both = jax.tree.map(
    lambda *parts: jnp.concatenate(parts), *(_beams(*each)[:2] for each in (one, other))
  )
  beams = Beams(*both, jnp.array(LENGTH))
  together = jax.jit(lambda given: log_consensus(given, CONTENT, NOTHING[:0]))(beams)
  np.testing.assert_allclose(together, np.concatenate(apart), rtol=1e-6)
