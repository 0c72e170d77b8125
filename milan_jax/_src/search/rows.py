"""Packed rows: only the needed rows are computed, in a few compiled sizes.

A search needs its models only for some hypotheses, and their number changes from step
to step. The needed rows are packed to the front of arrays of one `capacity` and
computed in chunks. Each chunk size is compiled once, for any number of rows.

`Packing` is the only difference between the search on a CPU and on an accelerator:

- On a CPU a row of padding costs as much as a needed row, a chunk costs as much as
  some 20 rows besides its own, and compiling one more size costs little. `CPU_ROWS` has
  several sizes, chosen for the least cost (`least_rows`).
- On a GPU or TPU a row costs little, but each size is compiled for seconds (on a GPU
  each matrix product is timed against its alternatives), and each test of a loop's
  condition is a round trip to the host on a GPU. `ACCELERATOR_ROWS` has one size per
  program, and no loop if one chunk is enough.

Example: one step of a beam search with a language model, for two units and a beam of 3.
A hypothesis has a last token, and a parent: the packed row of the step before whose
state predicted that token. The language model does not see units, so hypotheses of
both units may share its rows.

  stop_id = 2
  last = [[7, 8, 7], [7, 2, 9]]
  parents = [[0, 0, 1], [3, 4, 4]]
  lm_parents = [[0, 0, 1], [0, 1, 1]]

The second hypothesis of unit 1 has finished, so five rows are needed. `compact` packs
them: `indices` are the rows' hypotheses, counted unit by unit. `slots_of` is the
inverse, the row of each hypothesis; its value for the finished one is never read.

  is_live = [[True, True, True], [True, False, True]]
  num = 5
  indices = [0, 1, 2, 3, 5]
  slots = [[0, 1, 2], [3, 3, 4]]

Packed, the hypotheses are `advance.Rows`. Rows 0 and 1 have the same parent, which is
prepared once: `distinct_parents` finds four parents.

  rows.parents = [0, 0, 1, 3, 4]
  rows.tokens = [7, 8, 7, 7, 9]
  rows.units = [0, 0, 0, 1, 1]
  distinct_parents.rows = [0, 1, 3, 4]
  distinct_parents.units = [0, 0, 1, 1]
  distinct_parents.inverse = [0, 0, 1, 2, 3]

For the language model, rows with the same parent and token are one prefix, which is
read once. Rows 0 and 3 are one, of different units: `distinct_pairs` finds four.

  lm_rows.parents = [0, 0, 1, 0, 1]
  distinct_pairs.indices = [0, 1, 2, 4]
  distinct_pairs.inverse = [0, 1, 2, 0, 3]
  lm_slots = [[0, 1, 2], [0, 0, 3]]

Five of at most six rows are computed in one chunk of six on a CPU; fewer would be
computed in chunks of four and one. A chunk of four may compute two rows, so every
packed array above has 6 + 2 rows, of which only the first ones written here count.

  sizes = (6, 4, 1)
  least_rows = (5, 2, 1)
  capacity = 8
  computed = 6

The best continuations of unit 0 extend its hypotheses 0, 0 and 1. In unit 1 the
finished hypothesis is the best and stays. The rows of the owners are the next parents.

  owners = [[0, 0, 1], [1, 0, 2]]
  next_tokens = [[4, 2, 6], [2, 5, 2]]
  next_parents = [[0, 0, 1], [3, 3, 4]]
  next_lm_parents = [[0, 0, 1], [0, 0, 3]]
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Bool, Int

Tree = Any  # a tree of arrays that share their first axis

# What a chunk costs on a CPU besides its rows, in rows: the weights are read and copied
# in the order that a product needs. The product of one row needs no copy.
CHUNK_COST, SINGLE_ROW_COST = 20, 11
# On a CPU, the smallest sizes are used if there are at most this many rows. In a larger
# program so few rows are rare, and each size takes time to compile.
SMALLEST_SIZES, MAX_ROWS_WITH_SMALLEST = (4, 1), 64
# On a CPU, sizes above this share of all rows are replaced by one chunk of all rows.
MAX_SIZE_SHARE = 0.8
# On an accelerator: the most chunks, unless the largest size needs more, and the
# multiple that the size of a single chunk is rounded up to.
MAX_CHUNKS = 32
ROW_MULTIPLE = 8
# Hashes of pairs: their number for each row, and the fewest bits.
HASHES_PER_ROW = 16
MIN_HASH_BITS = 12


@dataclasses.dataclass(frozen=True)
class Packing:
  """The compiled sizes of the rows computed together, for a kind of device.

  Attributes:
    sizes: sizes of chunks, largest first.
    accelerator: whether a program uses one of the sizes, or all those that it can fill.
    tokens: tokens in a chunk of the vocabulary; see `selection.py`.
    candidates: the fewest candidates of a top-k; minus infinity fills it up.
  """

  sizes: tuple[int, ...]
  accelerator: bool
  tokens: int
  candidates: int

  def chunk_sizes(self, max_rows: int) -> tuple[int, ...]:
    """Returns the sizes of chunks in which at most `max_rows` rows are computed."""
    if self.accelerator:
      if max_rows <= self.sizes[-1]:
        return (-(-max_rows // ROW_MULTIPLE) * ROW_MULTIPLE,)
      few = [size for size in self.sizes if size * MAX_CHUNKS >= max_rows]
      return (min(few, default=self.sizes[0]),)
    if max_rows > self.sizes[0]:
      return self.sizes
    sizes = self.sizes
    if max_rows <= MAX_ROWS_WITH_SMALLEST:
      sizes = (*sizes, *SMALLEST_SIZES)
    return (max_rows, *(size for size in sizes if size <= MAX_SIZE_SHARE * max_rows))

  def capacity(self, max_rows: int, sizes: tuple[int, ...] | None = None) -> int:
    """Returns the capacity for `max_rows` rows: the last chunk may exceed them.

    Args:
      max_rows: maximum number of rows needed at once.
      sizes: sizes of chunks; None for `chunk_sizes(max_rows)`.
    """
    sizes = sizes or self.chunk_sizes(max_rows)
    if self.accelerator:
      return sizes[0] + (max_rows if sizes[0] < max_rows else 0)
    least = least_rows(sizes)
    return max_rows + max(size - n for size, n in zip(sizes, least, strict=True))

  def allocate(
    self, max_rows: int, shapes: Tree, sizes: tuple[int, ...] | None = None
  ) -> Tree:
    """Allocates zeros for at most `max_rows` rows of outputs.

    Args:
      max_rows: maximum number of rows needed at once.
      shapes: shape and dtype of each output; the length of the first axis is ignored.
      sizes: sizes of chunks; None for `chunk_sizes(max_rows)`.
    """
    rows = self.capacity(max_rows, sizes)
    return jax.tree.map(lambda x: jnp.zeros((rows, *x.shape[1:]), x.dtype), shapes)


# Matrix products on a CPU reach 90 % of their best speed at about 200 rows. Those of
# float32 compute multiples of 16 rows; see `products.py`.
CPU_ROWS = Packing((256, 96, 48, 32, 16), accelerator=False, tokens=50, candidates=0)
# A TPU's registers are 128 wide, so chunks of the vocabulary need no padding there. If
# there are fewer than some 3,500 candidates for a top-k of 50, XLA for TPUs sorts them,
# which takes seconds to compile.
ACCELERATOR_ROWS = Packing(
  (4096, 2048, 1024), accelerator=True, tokens=128, candidates=4096
)


def packing_for(platform: str) -> Packing:
  """Returns the packing for the devices that a program is compiled for.

  Args:
    platform: kind of these devices, as `jax.Device.platform`; they need not be present.
  """
  return CPU_ROWS if platform == "cpu" else ACCELERATOR_ROWS


@functools.cache
def least_rows(sizes: tuple[int, ...]) -> tuple[int, ...]:
  """Returns, for each size of chunks, the fewest remaining rows that it is used for.

  Fewer rows cost less in chunks of the smaller sizes.

  Args:
    sizes: sizes of chunks, largest first.
  """
  found: list[int] = []
  costs = [0.0]  # of each number of rows, in chunks of the sizes seen so far
  for size in reversed(sizes):
    cost = SINGLE_ROW_COST + 1 if size == 1 else CHUNK_COST + size
    least = size if found else 1
    while found and least > 1 and cost <= costs[least - 1]:
      least -= 1
    before = costs
    costs = [0.0]
    for rows in range(1, sizes[0] + 1):
      is_used = rows >= least
      costs.append(cost + costs[max(0, rows - size)] if is_used else before[rows])
    found.append(least)
  return tuple(reversed(found))


class DistinctPairs(NamedTuple):
  """The distinct pairs among packed rows.

  Attributes:
    indices: the first row of each distinct pair; only the first `num` count.
    inverse: for each row, which distinct pair it holds.
    num: number of distinct pairs.
  """

  indices: Int[Array, "capacity"]
  inverse: Int[Array, "capacity"]
  num: Int[Array, ""]


class ChunkOutput(NamedTuple):
  """The result of `in_chunks`, and the state of its loops.

  Attributes:
    outputs: arrays of `Packing.capacity` rows each.
    rows: number of rows computed, including padding.
    chunks: number of chunks computed.
  """

  outputs: Tree
  rows: Int[Array, ""]
  chunks: Int[Array, ""]


def compact(mask: Bool[Array, "rows"]) -> tuple[Int[Array, "rows"], Int[Array, ""]]:
  """Returns the indices where `mask` is true, packed to the front, and their number."""
  rows = mask.shape[0]
  ends = jnp.cumsum(mask, dtype=jnp.int32)
  targets = jnp.where(mask, ends - 1, rows)
  indices = (
    jnp.zeros(rows, jnp.int32)
    .at[targets]
    .set(jnp.arange(rows, dtype=jnp.int32), mode="drop")
  )
  return indices, ends[-1]


def slots_of(mask: Bool[Array, "rows"]) -> Int[Array, "rows"]:
  """Returns the packed row of each item kept by `compact`; arbitrary for the others."""
  return jnp.cumsum(mask, dtype=jnp.int32) - 1


def row_major(tree: Tree) -> Tree:
  """Keeps the values of a row together in memory.

  XLA for TPUs stores an array in the order that suits the operation that produces it.
  If later operations gather rows, it would copy the whole array at each step.
  """
  return jax.tree.map(
    lambda array: with_layout_constraint(array, Layout(tuple(range(array.ndim)))), tree
  )


def take(tree: Tree, rows: Int[Array, "n"]) -> Tree:
  """Gathers rows of every array of a tree."""
  return jax.tree.map(lambda array: array[rows], tree)


def distinct_pairs(
  first: Int[Array, "capacity"], second: Int[Array, "capacity"], num: Int[Array, ""]
) -> DistinctPairs:
  """Finds the distinct pairs among the first `num` rows, in the order of their rows.

  Pairs are found by hash, which compiles and runs several times faster than a sort. If
  two pairs have one hash, rows with the second pair each count as distinct. A search
  then computes a few rows more, with the same results.
  """
  capacity = first.shape[0]
  rows = jnp.arange(capacity, dtype=jnp.int32)
  bits = max(MIN_HASH_BITS, (HASHES_PER_ROW * capacity - 1).bit_length())
  hashes = _hashes(first, second, bits)
  is_used = rows < num
  # Of each hash, the first row.
  firsts = jnp.full(1 << bits, capacity, jnp.int32)
  firsts = firsts.at[jnp.where(is_used, hashes, 1 << bits)].min(rows, mode="drop")
  found = firsts[hashes]
  is_same = (first[found] == first) & (second[found] == second)
  found = jnp.where(is_same, found, rows)
  is_new = is_used & (found == rows)
  indices, count = compact(is_new)
  return DistinctPairs(indices, slots_of(is_new)[found], count)


def _hashes(
  first: Int[Array, "rows"], second: Int[Array, "rows"], bits: int
) -> Int[Array, "rows"]:
  """Returns multiplicative hashes of pairs, of `bits` bits."""
  one, other = (x.astype(jnp.uint32) for x in (first, second))
  # Odd numbers near 2^32 divided by the golden ratio, and by its square.
  mixed = one * jnp.uint32(0x9E3779B1) + other * jnp.uint32(0x61C88647)
  mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(0x9E3779B1)
  hashes: Array = (mixed >> (32 - bits)).astype(jnp.int32)
  return hashes


def in_chunks(
  num: Int[Array, ""],
  compute: Callable[[Int[Array, "chunk"]], Tree],
  outputs: Tree,
  *,
  sizes: Sequence[int],
) -> ChunkOutput:
  """Computes the first `num` rows of some arrays in chunks.

  Args:
    num: number of rows needed.
    compute: returns the outputs of some rows, given their indices.
    outputs: arrays of `Packing.capacity` rows, overwritten in place.
    sizes: sizes of chunks, largest first; chunks of the last size compute the rest.

  Returns:
    The outputs and the number of rows computed, which is `num` or more. If one chunk
    has as many rows as the outputs, it is always computed, without a loop.
  """
  none = jnp.zeros((), jnp.int32)
  if {len(array) for array in jax.tree.leaves(outputs)} == {sizes[0]}:
    computed = compute(jnp.arange(sizes[0], dtype=jnp.int32))
    return ChunkOutput(computed, none + sizes[0], none + 1)
  carry = ChunkOutput(outputs, none, none)
  for size, least in zip(sizes, least_rows(tuple(sizes)), strict=True):

    def unfinished(carry: ChunkOutput, least: int = least) -> Bool[Array, ""]:
      return num - carry.rows >= least

    def advance(carry: ChunkOutput, size: int = size) -> ChunkOutput:
      outputs, start, chunks = carry
      computed = compute(start + jnp.arange(size, dtype=jnp.int32))
      outputs = jax.tree.map(
        lambda array, rows: jax.lax.dynamic_update_slice_in_dim(array, rows, start, 0),
        outputs,
        computed,
      )
      return ChunkOutput(outputs, start + size, chunks + 1)

    carry = jax.lax.while_loop(unfinished, advance, carry)
  return carry
