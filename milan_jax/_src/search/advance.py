"""One step of a model for packed rows: prepare, read and predict the needed rows."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from milan_jax._src.search.rows import (
  Packing,
  Tree,
  compact,
  in_chunks,
  row_major,
  slots_of,
  take,
)
from milan_jax._src.search.steps import (
  PartialStep,
  RowModel,
  State,
  Work,
  add_work,
  no_work,
)

# Returns a summary of a chunk's log probabilities, given the indices of its rows.
Summarize = Callable[[Float[Array, "chunk vocab"], Int[Array, "chunk"]], Tree]


class Rows(NamedTuple):
  """Rows to be advanced by one token; only the first `num` count.

  Attributes:
    parents: for each row, the row of its state one step before.
    tokens: the token that each row reads.
    units: the unit of each row.
    num: number of rows.
  """

  parents: Int[Array, "capacity"]
  tokens: Int[Array, "capacity"]
  units: Int[Array, "capacity"]
  num: Int[Array, ""]


class Parents(NamedTuple):
  """The distinct parents of some rows; only the first `num` count.

  Attributes:
    rows: the row of each distinct parent's state, ascending.
    units: the unit of each distinct parent.
    inverse: for each row to be advanced, the index of its distinct parent.
    num: number of distinct parents.
  """

  rows: Int[Array, "capacity"]
  units: Int[Array, "capacity"]
  inverse: Int[Array, "capacity"]
  num: Int[Array, ""]


class Memory(NamedTuple):
  """The packed arrays that a model keeps between steps; updated in place.

  Every array has `Packing.capacity` rows.

  Attributes:
    state: states of the rows of the last step.
    partial: buffer for the results of `prepare` for these states.
    summaries: the results of `summarize` for the last predictions.
    work: rows needed and computed so far.
  """

  state: State
  partial: PartialStep
  summaries: Tree
  work: Work


def allocate(
  model: RowModel,
  state: State,
  max_rows: int,
  summarize: Summarize,
  *,
  packing: Packing,
) -> Memory:
  """Allocates a model's memory for at most `max_rows` rows.

  Args:
    model: reads and predicts.
    state: the initial states, which become the first rows.
    max_rows: maximum number of rows needed in a step.
    summarize: the same function as for `advance`.
    packing: sizes of the rows computed together.
  """
  capacity = packing.capacity(max_rows)

  def one_step(state: State) -> tuple[PartialStep, Tree]:
    row = jnp.zeros(1, jnp.int32)
    partial = model.prepare(take(state, row), row)
    return partial, summarize(log_probs(model, model.read(partial, row)), row)

  partial, summaries = packing.allocate(max_rows, jax.eval_shape(one_step, state))
  padded = jax.tree.map(
    lambda x: jnp.pad(x, ((0, capacity - len(x)), *((0, 0),) * (x.ndim - 1))), state
  )
  return Memory(padded, partial, summaries, no_work())


def log_probs(model: RowModel, state: State) -> Float[Array, "rows vocab"]:
  """Returns the normalized predictions."""
  logits = model.predict(state)
  return logits - jax.nn.logsumexp(logits, axis=-1, keepdims=True)


def distinct_parents(rows: Rows) -> Parents:
  """Finds the distinct parents of rows.

  Rows with one parent belong to one unit, unless the model does not use units.
  """
  capacity = rows.tokens.shape[0]
  used = jnp.where(jnp.arange(capacity) < rows.num, rows.parents, capacity)
  units = jnp.full(capacity, -1, jnp.int32).at[used].max(rows.units, mode="drop")
  is_parent = units >= 0
  indices, num = compact(is_parent)
  inverse = slots_of(is_parent)[rows.parents]
  return Parents(indices, units[indices], inverse, num)


def advance(
  model: RowModel,
  memory: Memory,
  rows: Rows,
  max_rows: int,
  summarize: Summarize,
  *,
  packing: Packing,
) -> Memory:
  """Reads a token per row, predicts the next one and keeps a summary of it.

  Terms that depend only on a parent are computed once per distinct parent.

  Args:
    model: reads and predicts.
    memory: created by `allocate`; `rows.parents` index its states.
    rows: the token that each row reads, and its parent.
    max_rows: maximum number of rows needed in a step.
    summarize: returns the summary of the log probabilities to keep.
    packing: sizes of the rows computed together.

  Returns:
    The memory, with the states and summaries packed as `rows` are.
  """
  sizes = packing.chunk_sizes(max_rows)
  parents = distinct_parents(rows)

  def prepare(indices: Int[Array, "chunk"]) -> PartialStep:
    chosen = take(memory.state, parents.rows[indices])
    return model.prepare(chosen, parents.units[indices])

  def read_and_predict(indices: Int[Array, "chunk"]) -> tuple[State, Tree]:
    state = model.read(take(partial, parents.inverse[indices]), rows.tokens[indices])
    summaries = summarize(log_probs(model, state), indices)
    return state, row_major(summaries) if packing.accelerator else summaries

  partial, *did_prepare = in_chunks(parents.num, prepare, memory.partial, sizes=sizes)
  (state, summaries), *did_read = in_chunks(
    rows.num, read_and_predict, (memory.state, memory.summaries), sizes=sizes
  )
  did = zip(did_prepare, did_read, did_read, strict=True)
  needed = (parents.num, rows.num, rows.num)
  work = add_work(memory.work, Work(*map(jnp.stack, (needed, *did))))
  return Memory(state, partial, summaries, work)
