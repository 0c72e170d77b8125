"""Packing, chunks and distinct pairs against plain numpy."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.search import rows
from milan_jax._src.search.beam import beam_search
from tests.search.lattice import START, STOP, Lattice


@pytest.mark.parametrize("num", [0, 1, 7, 8, 9, 31, 70, 96, 200, 256, 300, 1000])
def test_chunks_compute_every_row_once_and_few_in_vain(num):
  max_rows = 1000
  sizes = rows.chunk_sizes(max_rows)
  outputs = {"squares": jnp.full(rows.row_capacity(max_rows), -1)}

  @jax.jit
  def compute(num):
    return rows.in_chunks(
      num, lambda indices: {"squares": indices**2}, outputs, sizes=sizes
    )

  found, computed, chunks = compute(jnp.int32(num))
  squares = np.asarray(found["squares"])
  np.testing.assert_array_equal(squares[:num], np.arange(num) ** 2)
  assert 0 <= computed - num <= max(sizes[-1] - 1, computed * rows.MAX_PADDING_SHARE)
  assert (squares[int(computed) :] == -1).all()
  assert -(-int(computed) // sizes[0]) <= chunks <= num


def test_sizes_reach_what_is_needed_and_no_further():
  assert rows.chunk_sizes(1) == (8,)
  assert rows.chunk_sizes(33) == (64, 32, 16, 8)
  assert rows.chunk_sizes(10**6) == rows.CPU_SIZES
  assert rows.row_capacity(33) == 33 + 64


def test_compact_keeps_the_order():
  mask = np.random.default_rng(0).random(50) < 0.3
  indices, num = rows.compact(jnp.asarray(mask))
  assert num == mask.sum()
  np.testing.assert_array_equal(indices[:num], np.flatnonzero(mask))


@pytest.mark.parametrize("num", [0, 1, 5, 40])
def test_distinct_pairs(num):
  rng = np.random.default_rng(num)
  first, second = rng.integers(0, 4, (2, 40)).astype(np.int32)
  found = rows.distinct_pairs(jnp.asarray(first), jnp.asarray(second), jnp.int32(num))
  pairs = list(zip(first[:num].tolist(), second[:num].tolist(), strict=True))
  assert found.num == len(set(pairs))
  kept = [
    (int(first[row]), int(second[row]))
    for row in np.asarray(found.indices[: found.num])
  ]
  assert kept == sorted(set(pairs))
  assert [kept[i] for i in np.asarray(found.inverse[:num])] == pairs


def test_the_chunks_of_accelerators_find_the_same():
  lattice = Lattice(seed=1, batch=7)
  options = {"valid": jnp.ones(7, bool), "beam_size": 20, "length": 5}
  options |= {"start_id": START, "stop_id": STOP}
  here = beam_search(lattice.bound(), **options).beams
  with mock.patch.object(rows, "CPU_SIZES", rows.ACCELERATOR_SIZES):
    assert rows.chunk_sizes(140) == (512, 128, 32)
    there = beam_search(lattice.bound(), **options).beams
  np.testing.assert_array_equal(there.tokens, here.tokens)
  np.testing.assert_allclose(there.scores, here.scores, rtol=1e-6)
