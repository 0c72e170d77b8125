"""The searches against brute force on a lattice that can be listed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax.search.beam import beam_search
from milan_jax.search.forced import counted, forced_scores
from milan_jax.search.rerank import rerank
from milan_jax.search.rollout import greedy, sample
from milan_jax.search.steps import Beams, pointwise, widen
from milan_jax.search.topk import top_k
from tests.search.lattice import START, STOP, VOCAB, Lattice

BATCH, LENGTH = 3, 4
ENDS = {"start_id": START, "stop_id": STOP}


@pytest.fixture
def lattice():
  return Lattice(seed=0, batch=BATCH)


def _beam(lattice, beam_size, valid=None, length=LENGTH, step=None, state=None):
  return beam_search(
    step or lattice.step,
    lattice.state() if state is None else state,
    valid=jnp.ones(BATCH, bool) if valid is None else valid,
    beam_size=beam_size,
    length=length,
    **ENDS,
  )


def test_a_wide_beam_finds_the_best_descriptions_in_order(lattice):
  # 6^3 prefixes at most: a beam of 216 never loses one.
  beams = _beam(lattice, 216)
  for unit in range(BATCH):
    best = lattice.every(unit, LENGTH)[:50]
    np.testing.assert_allclose(beams.scores[unit, :50], [s for s, _ in best], rtol=1e-5)
    assert [tuple(t) for t in np.asarray(beams.tokens[unit, :50])] == [
      t for _, t in best
    ]


def test_a_narrow_beam_keeps_what_a_plain_loop_keeps(lattice):
  width = 4
  beams = _beam(lattice, width)
  for unit in range(BATCH):
    pool = [(0.0, ())]
    for _ in range(LENGTH):
      grown = []
      for score, tokens in pool:
        if tokens and tokens[-1] == STOP:
          grown.append((score, (*tokens, STOP)))
          continue
        for token in range(VOCAB):
          longer = (*tokens, token)
          grown.append((lattice.score(unit, longer), longer))
      pool = sorted(grown, reverse=True)[:width]
    assert [tuple(t) for t in np.asarray(beams.tokens[unit])] == [t for _, t in pool]
    np.testing.assert_allclose(beams.scores[unit], [s for s, _ in pool], rtol=1e-5)


def test_mutual_information_is_subtracted_at_each_step(lattice):
  other = Lattice(seed=1, batch=BATCH)
  step = pointwise(lattice.step, other.step, temperature=0.7)
  beams = _beam(lattice, 216, step=step, state=(lattice.state(), other.state()))
  for unit in range(BATCH):
    scored = [
      (score - 0.7 * other.score(unit, tokens), tokens)
      for score, tokens in lattice.every(unit, LENGTH)
    ]
    score, tokens = max(scored)
    assert tuple(np.asarray(beams.tokens[unit, 0])) == tokens
    np.testing.assert_allclose(beams.scores[unit, 0], score, rtol=1e-5)


def test_rerank_takes_the_best_mutual_information_of_whole_descriptions(lattice):
  other = Lattice(seed=2, batch=BATCH)
  beams = _beam(lattice, 20)
  lm_scores = forced_scores(
    other.step,
    other.state(20),
    beams.tokens,
    counted(beams.tokens, stop_id=STOP),
    start_id=START,
  )
  found = rerank(beams, lm_scores, temperature=0.5)
  for unit in range(BATCH):
    scored = [
      (
        lattice.score(unit, tuple(t)) - 0.5 * other.score(unit, tuple(t)),
        tuple(t),
      )
      for t in np.asarray(beams.tokens[unit])
    ]
    score, tokens = max(scored)
    assert tuple(np.asarray(found.tokens[unit])) == tokens
    np.testing.assert_allclose(found.scores[unit], score, rtol=1e-5)


def test_padding_units_do_not_keep_the_search_going():
  lattice = Lattice(seed=0, batch=BATCH)
  lattice.table[0, :, :, :] = -50.0
  lattice.table[0, :, :, STOP] = 0.0
  lattice.table[1:, START, START, STOP] = -50.0
  valid = jnp.array([True, False, False])
  # A beam of one stops at once for unit 0; the other units would go on.
  assert _beam(lattice, 1, valid).num_steps == 1
  assert _beam(lattice, 1).num_steps > 1


def test_fewer_descriptions_than_the_beam(lattice):
  beams = _beam(lattice, 10, length=1)
  for unit in range(BATCH):
    best = lattice.every(unit, 1)
    np.testing.assert_allclose(beams.scores[unit, :6], [s for s, _ in best], rtol=1e-5)
  assert np.all(np.asarray(beams.scores[:, 6:]) <= np.finfo(np.float32).min)


def test_greedy_takes_the_best_token_and_stops(lattice):
  found = greedy(lattice.step, lattice.state(), batch=BATCH, length=LENGTH, **ENDS)
  for unit in range(BATCH):
    before, last, tokens = START, START, []
    while len(tokens) < LENGTH and last != STOP:
      before, last = last, int(lattice.table[unit, before, last].argmax())
      tokens.append(last)
    expected = tokens + [STOP] * (LENGTH - len(tokens))
    assert np.asarray(found.tokens[unit]).tolist() == expected
    np.testing.assert_allclose(
      found.scores[unit], lattice.score(unit, tuple(tokens)), rtol=1e-5
    )


def test_greedy_counts_the_tail_only_when_told(lattice):
  lattice.table[:, START, START, STOP] = 1.0  # stop at once
  options = {"batch": BATCH, "length": 2, **ENDS}
  stopped = greedy(lattice.step, lattice.state(), **options)
  tail = greedy(lattice.step, lattice.state(), count_tail=True, **options)
  np.testing.assert_allclose(stopped.scores, np.ones(BATCH))
  after = lattice.table[:, START, STOP].max(-1)
  np.testing.assert_allclose(tail.scores, 1 + after, rtol=1e-5)


def test_samples_follow_the_model_and_score_themselves():
  draws = 4000
  lattice = Lattice(seed=0, batch=1)
  lattice.table = np.repeat(lattice.table, draws, axis=0)
  keys = jax.random.split(jax.random.key(0), draws)
  found = sample(lattice.step, lattice.state(), keys=keys, length=2, **ENDS)
  firsts = np.bincount(np.asarray(found.tokens[:, 0]), minlength=VOCAB) / draws
  np.testing.assert_allclose(firsts, np.exp(lattice.table[0, START, START]), atol=0.03)
  for unit in range(20):
    tokens = tuple(np.asarray(found.tokens[unit]))
    np.testing.assert_allclose(
      found.scores[unit], lattice.score(unit, tokens), rtol=1e-5
    )


def test_a_sample_depends_on_its_own_key_alone(lattice):
  keys = jax.random.split(jax.random.key(1), BATCH)
  all_of_them = sample(lattice.step, lattice.state(), keys=keys, length=4, **ENDS)
  alone = Lattice(seed=0, batch=BATCH)
  alone.table = alone.table[1:2]
  one = sample(alone.step, alone.state(), keys=keys[1:2], length=4, **ENDS)
  np.testing.assert_array_equal(one.tokens[0], all_of_them.tokens[1])


def test_forced_scores_equal_the_sum(lattice):
  tokens = jnp.array([[[0, 1, STOP, 0], [2, 2, 2, 2]]] * BATCH)
  counts = counted(tokens, stop_id=STOP)
  scores = forced_scores(lattice.step, lattice.state(2), tokens, counts, start_id=START)
  for unit in range(BATCH):
    for i in range(2):
      expected = lattice.score(unit, tuple(np.asarray(tokens[unit, i])))
      np.testing.assert_allclose(scores[unit, i], expected, rtol=1e-5)


@pytest.mark.parametrize(
  ("num_steps", "one_too_many", "expected"),
  [
    (None, False, [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]),
    (None, True, [[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 0, 0]]),
    (2, True, [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]),
  ],
)
def test_counted(num_steps, one_too_many, expected):
  tokens = jnp.array([[0, STOP, STOP, STOP], [1, 2, 3, STOP], [STOP, 1, STOP, 1]])
  counts = counted(tokens, stop_id=STOP, num_steps=num_steps, one_too_many=one_too_many)
  np.testing.assert_array_equal(counts, np.array(expected, bool))


@pytest.mark.parametrize("k", [1, 7, 50])
@pytest.mark.parametrize("num", [40, 2500, 12345])
def test_top_k_is_exact(num, k):
  k = min(k, num)
  rng = np.random.default_rng(num + k)
  candidates = rng.normal(size=(3, num)).astype(np.float32)
  values, places = top_k(jnp.asarray(candidates), k)
  expected = np.argsort(-candidates, axis=-1, kind="stable")[:, :k]
  np.testing.assert_array_equal(places, expected)
  np.testing.assert_array_equal(values, np.take_along_axis(candidates, expected, 1))


def test_top_k_takes_equal_values_in_the_order_of_their_places():
  candidates = jnp.zeros((1, 1000))
  np.testing.assert_array_equal(top_k(candidates, 5)[1], [[0, 1, 2, 3, 4]])


def test_a_widened_state_scores_every_hypothesis_alike(lattice):
  _, scores = lattice.step(widen(lattice.state(), 3), jnp.full((BATCH, 3), START))
  np.testing.assert_array_equal(scores[:, 0], scores[:, 2])


def test_rerank_by_hand():
  beams = Beams(
    jnp.array([[[1, STOP], [2, STOP]]]), jnp.array([[-1.0, -1.5]]), jnp.array(2)
  )
  found = rerank(beams, jnp.array([[-1.0, -4.0]]), temperature=0.2)
  np.testing.assert_array_equal(found.tokens, [[2, STOP]])
  np.testing.assert_allclose(found.scores, [-0.7], rtol=1e-6)
