"""Packed rows: only the needed rows are computed, in a few compiled sizes.

A search needs its models only for some hypotheses, and their number changes from step
to step. The needed rows are packed to the front of arrays of one `capacity` and
computed in chunks. Each chunk size is compiled once, for any number of rows.

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

Five of at most six rows are computed in one chunk of eight on a CPU. Every packed array
above therefore has 6 + 8 rows, of which only the first ones written here count.

  sizes = (8,)
  capacity = 14
  computed = 8

The best continuations of unit 0 extend its hypotheses 0, 0 and 1. In unit 1 the
finished hypothesis is the best and stays. The rows of the owners are the next parents.

  owners = [[0, 0, 1], [1, 0, 2]]
  next_tokens = [[4, 2, 6], [2, 5, 2]]
  next_parents = [[0, 0, 1], [3, 3, 4]]
  next_lm_parents = [[0, 0, 1], [0, 0, 3]]
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

Tree = Any  # a tree of arrays that share their first axis

# Sizes of chunks, largest first. Matrix products on a CPU reach 90 % of their best
# speed at about 200 rows; accelerators need more rows.
CPU_SIZES = (256, 96, 64, 32, 16, 8)
ACCELERATOR_SIZES = (8192, 2048, 512, 128, 32)
# Maximum share of padding (rows computed but not needed) in a chunk that has a smaller
# size to fall back on.
MAX_PADDING_SHARE = 0.25


class DistinctPairs(NamedTuple):
  """The distinct pairs among packed rows, as `numpy.unique` returns them.

  Attributes:
    indices: a row that holds each distinct pair; only the first `num` count.
    inverse: for each row, which distinct pair it holds.
    num: number of distinct pairs.
  """

  indices: Int[Array, "capacity"]
  inverse: Int[Array, "capacity"]
  num: Int[Array, ""]


class ChunkOutput(NamedTuple):
  """The result of `in_chunks`, and the state of its loops.

  Attributes:
    outputs: arrays of `row_capacity` rows each.
    rows: number of rows computed, including padding.
    chunks: number of chunks computed.
  """

  outputs: Tree
  rows: Int[Array, ""]
  chunks: Int[Array, ""]


def chunk_sizes(max_rows: int) -> tuple[int, ...]:
  """Returns the sizes of chunks in which at most `max_rows` rows are computed."""
  known = CPU_SIZES if jax.default_backend() == "cpu" else ACCELERATOR_SIZES
  enough = min((size for size in known if size >= max_rows), default=known[0])
  return tuple(size for size in known if size <= enough)


def row_capacity(max_rows: int) -> int:
  """Returns the capacity for `max_rows` rows: the last chunk may exceed them."""
  return max_rows + chunk_sizes(max_rows)[0]


def allocate_outputs(max_rows: int, shapes: Tree) -> Tree:
  """Allocates zeros for at most `max_rows` rows of outputs.

  Args:
    max_rows: maximum number of rows needed at once.
    shapes: shape and dtype of each output; the length of the first axis is ignored.
  """
  capacity = row_capacity(max_rows)
  return jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape[1:]), x.dtype), shapes)


def compact(mask: Bool[Array, "rows"]) -> tuple[Int[Array, "rows"], Int[Array, ""]]:
  """Returns the indices where `mask` is true, packed to the front, and their number."""
  indices = jnp.nonzero(mask, size=mask.shape[0], fill_value=0)[0]
  return indices.astype(jnp.int32), jnp.sum(mask, dtype=jnp.int32)


def slots_of(mask: Bool[Array, "rows"]) -> Int[Array, "rows"]:
  """Returns the packed row of each item kept by `compact`; arbitrary for the others."""
  return jnp.cumsum(mask) - 1


def take(tree: Tree, rows: Int[Array, "n"]) -> Tree:
  """Gathers rows of every array of a tree."""
  return jax.tree.map(lambda array: array[rows], tree)


def distinct_pairs(
  first: Int[Array, "capacity"], second: Int[Array, "capacity"], num: Int[Array, ""]
) -> DistinctPairs:
  """Finds the distinct pairs among the first `num` rows."""
  capacity = first.shape[0]
  indices = jnp.arange(capacity, dtype=jnp.int32)
  unused = indices >= num
  ordered = jax.lax.sort((unused.astype(jnp.int32), first, second, indices), num_keys=3)
  unused, first, second, order = ordered
  new = (first != jnp.roll(first, 1)) | (second != jnp.roll(second, 1))
  new = (new | (indices == 0)) & (unused == 0)
  starts, count = compact(new)
  inverse = jnp.zeros(capacity, jnp.int32).at[order].set(jnp.cumsum(new) - 1)
  return DistinctPairs(order[starts], inverse, count)


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
    outputs: arrays of `row_capacity` rows, overwritten in place.
    sizes: sizes of chunks, largest first; chunks of the last size compute the rest.

  Returns:
    The outputs and the number of rows computed, which is `num` or slightly more.
  """
  none = jnp.zeros((), jnp.int32)
  carry = ChunkOutput(outputs, none, none)
  for size, smaller in zip(sizes, (*sizes[1:], 0), strict=True):
    # A chunk of this size is used if at most this many of its rows are padding.
    padding = int(size * MAX_PADDING_SHARE) if smaller else size - 1

    def unfinished(
      carry: ChunkOutput, size: int = size, padding: int = padding
    ) -> Bool[Array, ""]:
      return num - carry.rows >= size - padding

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
