"""The best continuations against a sort of all the candidates."""

import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.search.selection import (
  best_continuations,
  in_vocabulary_chunks,
  row_maxima,
  row_maxima_in_chunks,
)

STOP = 3


def _brute_force(scores, is_live, slots, step_scores, beam):
  """Sorts every candidate of one unit: best first, then by hypothesis and token."""
  found = []
  for owner, score in enumerate(scores):
    if is_live[owner]:
      row = step_scores[slots[owner]]
      found += [(-(score + gain), owner, token) for token, gain in enumerate(row)]
    elif score > -np.inf:
      found.append((-score, owner, STOP))
  return sorted(found)[:beam]


@pytest.mark.parametrize("round_to", [None, 1])  # to whole numbers: many ties
@pytest.mark.parametrize(
  ("vocab", "chunk"),
  # Chunks of a CPU, then of an accelerator.
  [(4, 50), (49, 50), (50, 50), (51, 50), (428, 50), (128, 128), (428, 128)],
)
@pytest.mark.parametrize("beam", [1, 5, 50])
@pytest.mark.parametrize("live_share", [0.0, 0.1, 1.0])
def test_best_continuations(round_to, vocab, chunk, beam, live_share):
  batch = 4
  rng = np.random.default_rng(vocab + beam)
  is_live = rng.random((batch, beam)) < live_share
  scores = rng.normal(size=(batch, beam)).astype(np.float32) * 3
  scores[:, beam // 2 :][~is_live[:, beam // 2 :]] = -np.inf
  # Packed rows: those of the live hypotheses, then some that nobody needs.
  slots = (np.cumsum(is_live) - 1).reshape(batch, beam).astype(np.int32)
  step_scores = rng.normal(size=(is_live.sum() + 3, vocab)).astype(np.float32)
  if round_to:
    # Adding zero makes a positive one of a negative one, which sorts before it.
    scores, step_scores = np.round(scores) + 0, np.round(step_scores) + 0
  found = best_continuations(
    jnp.asarray(scores),
    jnp.asarray(is_live),
    jnp.asarray(slots),
    in_vocabulary_chunks(jnp.asarray(step_scores), chunk),
    stop_id=STOP,
    candidates=4096 if chunk == 128 else 0,
  )
  for unit in range(batch):
    expected = _brute_force(scores[unit], is_live[unit], slots[unit], step_scores, beam)
    known = len(expected)
    actual = list(
      zip(
        -np.asarray(found.scores[unit]),
        np.asarray(found.owners[unit]),
        np.asarray(found.tokens[unit]),
        strict=True,
      )
    )
    assert actual[:known] == expected
    assert all(score == np.inf and token == STOP for score, _, token in actual[known:])


@pytest.mark.parametrize("round_to", [None, 0])  # to whole numbers: many ties
@pytest.mark.parametrize("candidates", [1, 7, 50, 51, 428])
@pytest.mark.parametrize("size", [4, 50])
def test_row_maxima(round_to, candidates, size):
  scores = np.random.default_rng(candidates).normal(size=(40, candidates))
  scores = scores.astype(np.float32)
  scores[:, 2::5] = -np.inf
  if round_to is not None:
    scores = scores.round(round_to)
  best = scores.argmax(axis=1)
  expected = scores.max(axis=1)
  others = scores.copy()
  others[np.arange(40), best] = -np.inf
  for found in (
    row_maxima(jnp.asarray(scores)),
    row_maxima_in_chunks(jnp.asarray(scores), size),
  ):
    np.testing.assert_array_equal(found.indices, best)
    np.testing.assert_array_equal(found.scores, expected)
    np.testing.assert_array_equal(found.margins, expected - others.max(axis=1))
