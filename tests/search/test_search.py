"""The searches against brute force on a lattice that can be listed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.search.beam import beam_search
from milan_jax._src.search.forced import counted, forced_scores
from milan_jax._src.search.rerank import best_of, rerank
from milan_jax._src.search.rollout import greedy, sample
from milan_jax._src.search.steps import Beams
from tests.search.lattice import START, STOP, VOCAB, Lattice

BATCH, LENGTH = 3, 4
ENDS = {"start_id": START, "stop_id": STOP}


@pytest.fixture
def lattice():
  return Lattice(seed=0, batch=BATCH)


def _found(lattice, beam_size, valid=None, length=LENGTH, **options):
  return beam_search(
    lattice.bound(),
    valid=jnp.ones(len(lattice.table), bool) if valid is None else valid,
    beam_size=beam_size,
    length=length,
    **ENDS,
    **options,
  )


def _beam(*arguments, **options):
  return _found(*arguments, **options).beams


def _valid(batch=BATCH):
  return jnp.ones(batch, bool)


@pytest.mark.device
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
  beams = _beam(lattice, 216, lm=other.bound(), temperature=0.7)
  for unit in range(BATCH):
    scored = [
      (score - 0.7 * other.score(unit, tokens), tokens)
      for score, tokens in lattice.every(unit, LENGTH)
    ]
    score, tokens = max(scored)
    assert tuple(np.asarray(beams.tokens[unit, 0])) == tokens
    np.testing.assert_allclose(beams.scores[unit, 0], score, rtol=1e-5)


@pytest.mark.device
def test_rerank_takes_the_best_mutual_information_of_whole_descriptions(lattice):
  other = Lattice(seed=2, batch=BATCH)
  beams = _beam(lattice, 20)
  counts = counted(beams.tokens, stop_id=STOP)
  lm_scores, *_ = forced_scores(other.bound(), beams.tokens, counts, start_id=START)
  found, indices, _ = rerank(beams, lm_scores, temperature=0.5)
  for unit in range(BATCH):
    scored = [
      (
        lattice.score(unit, tuple(t)) - 0.5 * other.score(unit, tuple(t)),
        tuple(t),
      )
      for t in np.asarray(beams.tokens[unit])
    ]
    (second, _), (score, tokens) = sorted(scored)[-2:]
    assert tuple(np.asarray(found.tokens[unit])) == tokens
    np.testing.assert_allclose(found.scores[unit], score, rtol=1e-5)
    np.testing.assert_allclose(found.margins[unit], score - second, atol=1e-5)
    np.testing.assert_array_equal(beams.tokens[unit, indices[unit]], tokens)


@pytest.mark.parametrize("floor", [4.0, 8.0])
def test_an_implausible_token_loses_where_there_are_others(lattice, floor):
  other = Lattice(seed=2, batch=BATCH)
  beams = _beam(lattice, 20)
  counts = counted(beams.tokens, stop_id=STOP)
  lm = forced_scores(other.bound(), beams.tokens, counts, start_id=START)
  found = rerank(beams, lm.scores, temperature=0.5, plausible=lm.lowest >= -floor)
  freely = rerank(beams, lm.scores, temperature=0.5)
  changed, left = [], []
  for unit in range(BATCH):
    every = [tuple(row) for row in np.asarray(beams.tokens[unit]).tolist()]
    good = [tokens for tokens in every if min(other.gains(unit, tokens)) >= -floor]
    scored = [
      (lattice.score(unit, tokens) - 0.5 * other.score(unit, tokens), tokens)
      for tokens in good or every
    ]
    left.append(len(good))
    score, tokens = max(scored)
    assert tuple(np.asarray(found.hypotheses.tokens[unit]).tolist()) == tokens
    np.testing.assert_allclose(found.hypotheses.scores[unit], score, rtol=1e-5)
    second = sorted(scored)[-2][0] if len(scored) > 1 else -np.inf
    np.testing.assert_allclose(
      found.hypotheses.margins[unit], score - second, atol=1e-5
    )
    assert np.isfinite(found.scores[unit]).sum() == len(scored)
    changed.append(bool(found.indices[unit] != freely.indices[unit]))
  # With the lower floor the second unit has none left, and takes the best of all.
  assert left == ([7, 0, 7] if floor == 4 else [19, 20, 20])
  assert changed == [True, False, floor == 4]


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


@pytest.mark.device
def test_greedy_takes_the_best_token_and_stops(lattice):
  found = greedy(lattice.bound(), valid=_valid(), length=LENGTH, **ENDS).hypotheses
  for unit in range(BATCH):
    before, last, tokens, margin = START, START, [], np.inf
    while len(tokens) < LENGTH and last != STOP:
      row = np.sort(lattice.table[unit, before, last])
      margin = min(margin, row[-1] - row[-2])
      before, last = last, int(lattice.table[unit, before, last].argmax())
      tokens.append(last)
    np.testing.assert_allclose(found.margins[unit], margin, atol=1e-5)
    expected = tokens + [STOP] * (LENGTH - len(tokens))
    assert np.asarray(found.tokens[unit]).tolist() == expected
    np.testing.assert_allclose(
      found.scores[unit], lattice.score(unit, tuple(tokens)), rtol=1e-5
    )


def test_greedy_counts_the_tail_only_when_told(lattice):
  lattice.table[:, START, START] = np.log([0.02] * 4 + [0.9, 0.02])  # stop at once
  options = {"valid": _valid(), "length": 2, **ENDS}
  stopped = greedy(lattice.bound(), **options)
  tail = greedy(lattice.bound(), count_tail=True, **options)
  np.testing.assert_allclose(
    stopped.hypotheses.scores, np.log([0.9] * BATCH), rtol=1e-5
  )
  after = lattice.table[:, START, STOP].max(-1)
  expected = np.log(0.9) + after
  np.testing.assert_allclose(tail.hypotheses.scores, expected, rtol=1e-5)
  # A unit that has stopped takes no more rows.
  assert stopped.work.needed.tolist() == [BATCH] * 3
  assert tail.work.needed.tolist() == [2 * BATCH] * 3


def test_samples_follow_the_model_and_score_themselves():
  draws = 4000
  lattice = Lattice(seed=0, batch=1)
  lattice.table = np.repeat(lattice.table, draws, axis=0)
  keys = jax.random.split(jax.random.key(0), draws)
  found = sample(
    lattice.bound(), keys=keys, valid=_valid(draws), length=2, **ENDS
  ).hypotheses
  firsts = np.bincount(np.asarray(found.tokens[:, 0]), minlength=VOCAB) / draws
  np.testing.assert_allclose(firsts, np.exp(lattice.table[0, START, START]), atol=0.03)
  for unit in range(20):
    tokens = tuple(np.asarray(found.tokens[unit]))
    np.testing.assert_allclose(
      found.scores[unit], lattice.score(unit, tokens), rtol=1e-5
    )


def test_a_sample_depends_on_its_own_key_alone(lattice):
  keys = jax.random.split(jax.random.key(1), BATCH)
  options = {"length": 4, **ENDS}
  whole = sample(lattice.bound(), keys=keys, valid=_valid(), **options)
  alone = Lattice(seed=0, batch=BATCH)
  alone.table = alone.table[1:2]
  one = sample(alone.bound(), keys=keys[1:2], valid=_valid(1), **options)
  np.testing.assert_array_equal(one.hypotheses.tokens[0], whole.hypotheses.tokens[1])


@pytest.mark.device
def test_forced_scores_equal_the_sum(lattice):
  tokens = jnp.array([[[0, 1, STOP, 0], [2, 2, 2, 2]]] * BATCH)
  counts = counted(tokens, stop_id=STOP)
  scores, lowest, last, work = forced_scores(
    lattice.bound(), tokens, counts, start_id=START
  )
  for unit in range(BATCH):
    for i in range(2):
      gains = lattice.gains(unit, tuple(np.asarray(tokens[unit, i])))
      np.testing.assert_allclose(scores[unit, i], sum(gains), rtol=1e-5)
      np.testing.assert_allclose(lowest[unit, i], min(gains), rtol=1e-5)
      np.testing.assert_allclose(last[unit, i], gains[-1], rtol=1e-5)
  # Of each unit one row has read nothing, two one token, two two tokens and one three;
  # what has read one token follows the same parent.
  assert work.needed.tolist() == [5 * BATCH, 6 * BATCH, 6 * BATCH]


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


def test_only_hypotheses_that_go_on_take_rows(lattice):
  found = _found(lattice, 20)
  needed, computed, chunks = np.asarray(found.work)
  # At each step: those of the step before that had not stopped.
  live = BATCH  # which have read nothing
  for length in range(1, LENGTH):
    live += sum(
      STOP not in tokens[:length]
      for beams in [_beam(lattice, 20, length=length)]
      for unit in np.asarray(beams.tokens)[beams.scores > -np.inf]
      for tokens in [unit.tolist()]
    )
  assert needed.tolist()[1:] == [live, live]
  assert needed[0] <= live
  assert (computed >= needed).all() and (chunks >= LENGTH).all()


def test_many_units_at_once_find_what_each_finds_alone():
  batch, beam = 40, 20
  lattice = Lattice(seed=3, batch=batch)
  together = _beam(lattice, beam)
  for unit in (0, 17, 39):
    alone = Lattice(seed=3, batch=batch)
    alone.table = alone.table[unit : unit + 1]
    one = _beam(alone, beam)
    np.testing.assert_array_equal(one.tokens[0], together.tokens[unit])
    np.testing.assert_allclose(one.scores[0], together.scores[unit], rtol=1e-6)


def test_rerank_by_hand():
  beams = Beams(
    jnp.array([[[1, STOP], [2, STOP]]]), jnp.array([[-1.0, -1.5]]), jnp.array(2)
  )
  found, indices, _ = rerank(beams, jnp.array([[-1.0, -4.0]]), temperature=0.2)
  np.testing.assert_array_equal(found.tokens, [[2, STOP]])
  np.testing.assert_allclose(found.scores, [-0.7], rtol=1e-6)
  np.testing.assert_allclose(found.margins, [0.1], rtol=1e-5)
  assert indices == 1
  assert best_of(beams).indices == 0
