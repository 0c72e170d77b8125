"""Packing, chunks and distinct pairs against plain numpy and a worked example."""

import ast
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.search import beam, rows
from milan_jax._src.search.advance import Rows, distinct_parents
from milan_jax._src.search.beam import beam_search
from milan_jax._src.search.selection import Continuations
from tests.search.lattice import START, STOP, Lattice


def least_cost(num, sizes):
  """The lowest cost of computing `num` rows in chunks of any sizes, in any order."""
  cost = {1: 1 + rows.SINGLE_ROW_COST}
  costs = [0] * (num + 1)
  for n in range(1, num + 1):
    costs[n] = min(
      cost.get(size, size + rows.CHUNK_COST) + costs[max(0, n - size)] for size in sizes
    )
  return costs[num]


@pytest.mark.parametrize("max_rows", [1, 2, 16, 33, 64, 65, 256, 1000])
def test_the_sizes_of_chunks_cost_the_least_or_little_more(max_rows):
  sizes = rows.CPU_ROWS.chunk_sizes(max_rows)
  for num in range(1, max_rows + 1):
    left, cost = num, 0
    for size, least in zip(sizes, rows.least_rows(sizes), strict=True):
      while left > 0 and left >= least:
        left -= size
        cost += size + (rows.SINGLE_ROW_COST if size == 1 else rows.CHUNK_COST)
    assert num <= num - left <= rows.CPU_ROWS.capacity(max_rows)
    assert cost <= 1.1 * least_cost(num, sizes)


@pytest.mark.parametrize("max_rows", [16, 50, 1000])
@pytest.mark.parametrize("num", [0, 1, 7, 8, 9, 31, 70, 96, 200, 256, 300, 1000])
def test_chunks_compute_every_row_once_and_few_in_vain(num, max_rows):
  num = min(num, max_rows)
  sizes = rows.CPU_ROWS.chunk_sizes(max_rows)
  outputs = {"squares": jnp.full(rows.CPU_ROWS.capacity(max_rows), -1)}

  @jax.jit
  def compute(num):
    return rows.in_chunks(
      num, lambda indices: {"squares": indices**2}, outputs, sizes=sizes
    )

  found, computed, chunks = compute(jnp.int32(num))
  squares = np.asarray(found["squares"])
  np.testing.assert_array_equal(squares[:num], np.arange(num) ** 2)
  assert num <= computed <= len(squares)
  assert (squares[int(computed) :] == -1).all()
  cost = int(computed) + rows.SINGLE_ROW_COST * int(chunks)
  assert cost <= 1.1 * least_cost(num, sizes)


@pytest.mark.parametrize("num", [0, 3, 41])
def test_one_chunk_computes_all_rows_without_a_loop(num):
  packing = rows.ACCELERATOR_ROWS
  outputs = packing.allocate(41, jax.ShapeDtypeStruct((1, 2), jnp.int32))
  assert outputs.shape == (48, 2)

  def compute(num):
    return rows.in_chunks(
      num,
      lambda indices: jnp.stack([indices, indices**2], axis=1),
      outputs,
      sizes=packing.chunk_sizes(41),
    )

  found, computed, chunks = compute(jnp.int32(num))
  np.testing.assert_array_equal(found[:, 1], np.arange(48) ** 2)
  assert (computed, chunks) == (48, 1)
  assert "while" not in str(jax.make_jaxpr(compute)(jnp.int32(num)))


def test_sizes_reach_what_is_needed_and_no_further():
  cpu = rows.CPU_ROWS
  assert cpu.chunk_sizes(1) == (1,)
  assert cpu.capacity(1) == 1
  assert cpu.chunk_sizes(33) == (33, 16, 4, 1)
  assert cpu.chunk_sizes(64) == (64, 48, 32, 16, 4, 1)
  assert cpu.chunk_sizes(65) == (65, 48, 32, 16)
  assert cpu.chunk_sizes(10**6) == cpu.sizes
  # At least 209 rows are computed in a chunk of 256.
  assert cpu.capacity(10**6) == 10**6 + 47


def test_an_accelerator_computes_in_chunks_of_one_size():
  accelerator = rows.ACCELERATOR_ROWS
  assert accelerator.chunk_sizes(50) == (56,)
  assert accelerator.chunk_sizes(1024) == (1024,)
  assert accelerator.chunk_sizes(64 * 50) == (1024,)
  assert accelerator.chunk_sizes(1024 * 50) == (2048,)
  assert accelerator.chunk_sizes(2048 * 50) == (4096,)
  assert accelerator.chunk_sizes(10**7) == (4096,)
  assert accelerator.capacity(50) == 56
  assert accelerator.capacity(1024) == 1024
  assert accelerator.capacity(3200) == 3200 + 1024


def test_the_packing_depends_on_the_devices_that_a_program_is_for():
  assert rows.packing_for("cpu") is rows.CPU_ROWS
  for platform in ("gpu", "tpu"):
    assert rows.packing_for(platform) is rows.ACCELERATOR_ROWS


def test_compact_keeps_the_order():
  mask = np.random.default_rng(0).random(50) < 0.3
  indices, num = rows.compact(jnp.asarray(mask))
  assert num == mask.sum()
  np.testing.assert_array_equal(indices[:num], np.flatnonzero(mask))


def test_compact_in_a_program_with_float64():
  jax.config.update("jax_enable_x64", True)  # a warning of mixed integers is an error
  try:
    indices, num = rows.compact(jnp.asarray([False, True, True]))
  finally:
    jax.config.update("jax_enable_x64", False)
  assert indices.dtype == jnp.int32
  np.testing.assert_array_equal(indices[:num], [1, 2])


@pytest.mark.parametrize("num", [0, 1, 5, 40])
def test_distinct_pairs(num):
  rng = np.random.default_rng(num)
  first, second = rng.integers(0, 4, (2, 40)).astype(np.int32)
  second[second == 3] = 2**31 - 1
  found = rows.distinct_pairs(jnp.asarray(first), jnp.asarray(second), jnp.int32(num))
  pairs = list(zip(first[:num].tolist(), second[:num].tolist(), strict=True))
  assert found.num == len(set(pairs))
  kept = [
    (int(first[row]), int(second[row]))
    for row in np.asarray(found.indices[: found.num])
  ]
  assert kept == list(dict.fromkeys(pairs))
  assert [kept[i] for i in np.asarray(found.inverse[:num])] == pairs


def test_pairs_with_one_hash_are_found_more_than_once(monkeypatch):
  """Which costs rows, and changes no result."""
  monkeypatch.setattr(rows, "_hashes", lambda first, second, bits: (first + second) % 2)
  first, second = jnp.array([0, 1, 0, 0, 1, 2]), jnp.array([0, 0, 0, 2, 0, 0])
  found = rows.distinct_pairs(first, second, jnp.int32(6))
  # Rows 0 and 2, and 1 and 4, are one; rows 3 and 5 have the hash of row 0.
  assert np.asarray(found.indices[: found.num]).tolist() == [0, 1, 3, 5]
  assert np.asarray(found.inverse).tolist() == [0, 1, 0, 2, 1, 3]
  first, second = jnp.array([0, 0, 0]), jnp.array([0, 2, 2])
  found = rows.distinct_pairs(first, second, jnp.int32(3))
  assert np.asarray(found.indices[: found.num]).tolist() == [0, 1, 2]


# On an accelerator: all rows in one chunk, and several chunks of one size.
ONE_CHUNK = rows.ACCELERATOR_ROWS
CHUNKS = rows.Packing((64, 32, 8), accelerator=True, tokens=4, candidates=0)


@pytest.mark.parametrize("packing", [ONE_CHUNK, CHUNKS], ids=["one", "several"])
def test_the_rows_of_accelerators_find_the_same(packing):
  lattice, other = Lattice(seed=1, batch=7), Lattice(seed=2, batch=7)
  options = {"valid": jnp.arange(7) < 6, "beam_size": 20, "length": 5}
  options |= {"start_id": START, "stop_id": STOP, "lm": other.bound()}
  options["temperature"] = 0.3
  here = beam_search(lattice.bound(), **options)
  there = beam_search(lattice.bound(), packing=packing, **options)
  np.testing.assert_array_equal(there.beams.tokens, here.beams.tokens)
  np.testing.assert_allclose(there.beams.scores, here.beams.scores, rtol=1e-6)
  for work, more in ((here.work, there.work), (here.lm_work, there.lm_work)):
    np.testing.assert_array_equal(work.needed, more.needed)
    assert (more.computed >= more.needed).all()


def worked_example():
  """The values that the module's docstring writes out, by name."""
  lines = re.findall(r"^  ([a-z_.]+) = (.+)$", rows.__doc__, re.MULTILINE)
  found = {name: ast.literal_eval(value) for name, value in lines}
  assert len(found) == len(lines) == 26
  return {
    name: np.array(value) if isinstance(value, list) else value
    for name, value in found.items()
  }


def test_the_worked_example_is_what_the_code_computes():
  written = worked_example()
  stop_id, last = written.pop("stop_id"), written.pop("last")
  parents, lm_parents = written.pop("parents"), written.pop("lm_parents")
  owners, next_tokens = written.pop("owners"), written.pop("next_tokens")
  batch, beam_size = last.shape
  max_rows = batch * beam_size
  packing = rows.packing_for("cpu")
  sizes, capacity = packing.chunk_sizes(max_rows), packing.capacity(max_rows)
  is_live = last != stop_id
  mask = jnp.pad(jnp.asarray(is_live.ravel()), (0, capacity - max_rows))
  indices, num = rows.compact(mask)
  slots = rows.slots_of(mask)[:max_rows].reshape(last.shape)
  units = np.repeat(np.arange(batch, dtype=np.int32), beam_size)

  def rows_of(parents):
    packed = (parents.ravel(), last.ravel(), units)
    return Rows(*(jnp.asarray(x, jnp.int32)[indices] for x in packed), num)

  packed, lm_packed = rows_of(parents), rows_of(lm_parents)
  distinct = distinct_parents(packed)
  pairs = rows.distinct_pairs(lm_packed.parents, lm_packed.tokens, num)
  lm_slots = pairs.inverse[slots]
  done = rows.in_chunks(num, lambda x: x, jnp.zeros(capacity, jnp.int32), sizes=sizes)
  pool = beam._continued(
    beam.Pool(
      jnp.zeros(last.shape),
      jnp.zeros((*last.shape, 4), jnp.int32),
      jnp.asarray(last),
      jnp.asarray(parents),
      jnp.asarray(lm_parents),
    ),
    Continuations(jnp.zeros(last.shape), jnp.asarray(owners), jnp.asarray(next_tokens)),
    jnp.int32(1),
    slots,
    lm_slots,
  )
  found = {
    "is_live": is_live,
    "num": num,
    "indices": indices[:num],
    "slots": slots,
    "rows.parents": packed.parents[:num],
    "rows.tokens": packed.tokens[:num],
    "rows.units": packed.units[:num],
    "distinct_parents.rows": distinct.rows[: distinct.num],
    "distinct_parents.units": distinct.units[: distinct.num],
    "distinct_parents.inverse": distinct.inverse[:num],
    "lm_rows.parents": lm_packed.parents[:num],
    "distinct_pairs.indices": pairs.indices[: pairs.num],
    "distinct_pairs.inverse": pairs.inverse[:num],
    "lm_slots": lm_slots,
    "sizes": sizes,
    "least_rows": rows.least_rows(sizes),
    "capacity": len(done.outputs),
    "computed": done.rows,
    "next_parents": pool.parents,
    "next_lm_parents": pool.lm_parents,
  }
  assert found.keys() == written.keys()
  for name, value in written.items():
    np.testing.assert_array_equal(found[name], value, err_msg=name)
