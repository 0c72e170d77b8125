"""Packed rows: computing what is needed alone, in a few compiled sizes.

A search needs its models for some hypotheses only, and for how many changes from step
to step. The rows that are needed are packed to the front of arrays of one `capacity`
and computed in chunks; each size of a chunk is compiled once, whatever is needed.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

Tree = Any  # a tree of arrays that share their first axis

# Sizes of chunks, largest first. A CPU's products are at 9/10 of their best from some
# 200 rows on; an accelerator wants more of them at once.
CPU_SIZES = (256, 96, 64, 32, 16, 8)
ACCELERATOR_SIZES = (8192, 2048, 512, 128, 32)
# A chunk may compute rows that nobody needs, up to this share of it, where the next
# smaller size would take several chunks.
SPARE_SHARE = 0.25


class Distinct(NamedTuple):
  """The distinct ones among packed pairs.

  Attributes:
    first: a row that holds each of them; only the first `num` count.
    of_rows: which of them each row holds.
    num: how many there are.
  """

  first: Int[Array, "capacity"]
  of_rows: Int[Array, "capacity"]
  num: Int[Array, ""]


class Done(NamedTuple):
  """Outputs of chunks, the rows computed, and the chunks they were computed in."""

  outputs: Tree
  rows: Int[Array, ""]
  chunks: Int[Array, ""]


def chunk_sizes(most: int) -> tuple[int, ...]:
  """Returns the sizes of chunks in which at most `most` rows are computed."""
  known = CPU_SIZES if jax.default_backend() == "cpu" else ACCELERATOR_SIZES
  enough = min((size for size in known if size >= most), default=known[0])
  return tuple(size for size in known if size <= enough)


def pad_rows(most: int) -> int:
  """Returns the capacity for `most` rows: a last chunk may reach beyond them."""
  return most + chunk_sizes(most)[0]


def room_for(most: int, shapes: Tree) -> Tree:
  """Makes room for at most `most` rows of outputs, of the kinds `shapes` tells."""
  capacity = pad_rows(most)
  return jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape[1:]), x.dtype), shapes)


def compact(mask: Bool[Array, "rows"]) -> tuple[Int[Array, "rows"], Int[Array, ""]]:
  """Returns the places of what is true, in order and first, and their number."""
  places = jnp.nonzero(mask, size=mask.shape[0], fill_value=0)[0]
  return places.astype(jnp.int32), jnp.sum(mask, dtype=jnp.int32)


def take(tree: Tree, rows: Int[Array, "n"]) -> Tree:
  """Gathers rows of every array of a tree."""
  return jax.tree.map(lambda array: array[rows], tree)


def distinct_pairs(
  first: Int[Array, "capacity"], second: Int[Array, "capacity"], num: Int[Array, ""]
) -> Distinct:
  """Finds the distinct pairs among the first `num` rows."""
  capacity = first.shape[0]
  places = jnp.arange(capacity, dtype=jnp.int32)
  unused = places >= num
  ordered = jax.lax.sort((unused.astype(jnp.int32), first, second, places), num_keys=3)
  unused, first, second, order = ordered
  new = (first != jnp.roll(first, 1)) | (second != jnp.roll(second, 1))
  new = (new | (places == 0)) & (unused == 0)
  starts, count = compact(new)
  of_rows = jnp.zeros(capacity, jnp.int32).at[order].set(jnp.cumsum(new) - 1)
  return Distinct(order[starts], of_rows, count)


def in_chunks(
  num: Int[Array, ""],
  compute: Callable[[Int[Array, "chunk"]], Tree],
  outputs: Tree,
  *,
  sizes: Sequence[int],
) -> Done:
  """Computes the first `num` rows of some arrays, chunk by chunk.

  Args:
    num: number of rows that are needed.
    compute: gives the outputs at some places, one row each.
    outputs: arrays of `pad_rows` rows, overwritten in place.
    sizes: sizes of the chunks, largest first; the last one finishes.

  Returns:
    The outputs, and how many rows were computed: `num` or a few more.
  """
  none = jnp.zeros((), jnp.int32)
  carry = Done(outputs, none, none)
  for size, smaller in zip(sizes, (*sizes[1:], 0), strict=True):
    # A chunk is used where no more than a share of it would be computed in vain.
    spare = int(size * SPARE_SHARE) if smaller else size - 1

    def unfinished(carry, size=size, spare=spare):
      return num - carry.rows >= size - spare

    def advance(carry, size=size):
      outputs, start, chunks = carry
      computed = compute(start + jnp.arange(size, dtype=jnp.int32))
      outputs = jax.tree.map(
        lambda array, rows: jax.lax.dynamic_update_slice_in_dim(array, rows, start, 0),
        outputs,
        computed,
      )
      return Done(outputs, start + size, chunks + 1)

    carry = jax.lax.while_loop(unfinished, advance, carry)
  return carry
