"""One step of a model for packed rows: prepare, read and predict, each where needed."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from milan_jax._src.search.rows import (
  Tree,
  chunk_sizes,
  compact,
  in_chunks,
  pad_rows,
  room_for,
  take,
)
from milan_jax._src.search.steps import (
  Prepared,
  RowModel,
  State,
  Work,
  add_work,
  no_work,
)

# Makes what is kept of a chunk's log-probabilities, given the places of its rows.
Summarise = Callable[[Float[Array, "chunk vocab"], Int[Array, "chunk"]], Tree]


class Rows(NamedTuple):
  """Rows to be advanced by one token; only the first `num` count.

  Attributes:
    parents: the row of the states before, of each.
    tokens: what each reads.
    units: the unit of each.
    num: how many there are.
  """

  parents: Int[Array, "capacity"]
  tokens: Int[Array, "capacity"]
  units: Int[Array, "capacity"]
  num: Int[Array, ""]


class Parents(NamedTuple):
  """The distinct parents of some rows; only the first `num` count.

  Attributes:
    rows: their rows of the states before.
    units: the unit of each.
    ranks: which of them is the parent of each row.
    num: how many there are.
  """

  rows: Int[Array, "capacity"]
  units: Int[Array, "capacity"]
  ranks: Int[Array, "capacity"]
  num: Int[Array, ""]


class Memory(NamedTuple):
  """What a model keeps from step to step, packed; overwritten in place.

  Attributes:
    state: states of the rows last read.
    prepared: room for what is prepared of them.
    summaries: what `summarise` made of the last predictions.
    work: rows needed and computed so far.
  """

  state: State
  prepared: Prepared
  summaries: Tree
  work: Work


def allocate(model: RowModel, state: State, most: int, summarise: Summarise) -> Memory:
  """Makes room for at most `most` rows.

  Args:
    model: reads and predicts.
    state: the states to begin with, first.
    most: rows that may be needed at once.
    summarise: as `advance` will be given.
  """
  capacity = pad_rows(most)

  def one_step(state):
    row = jnp.zeros(1, jnp.int32)
    prepared = model.prepare(take(state, row), row)
    return prepared, summarise(log_probs(model, model.read(prepared, row)), row)

  prepared, summaries = room_for(most, jax.eval_shape(one_step, state))
  padded = jax.tree.map(
    lambda x: jnp.pad(x, ((0, capacity - len(x)), *((0, 0),) * (x.ndim - 1))), state
  )
  return Memory(padded, prepared, summaries, no_work())


def log_probs(model: RowModel, state: State) -> Float[Array, "rows vocab"]:
  """Predicts and normalises."""
  logits = model.predict(state)
  return logits - jax.nn.logsumexp(logits, axis=-1, keepdims=True)


def distinct_parents(rows: Rows) -> Parents:
  """Finds the distinct parents of rows.

  Rows of one parent belong to one unit, or to a model that sees no units.
  """
  capacity = rows.tokens.shape[0]
  used = jnp.where(jnp.arange(capacity) < rows.num, rows.parents, capacity)
  is_parent = jnp.zeros(capacity, bool).at[used].set(True, mode="drop")
  units = jnp.zeros(capacity, jnp.int32).at[used].set(rows.units, mode="drop")
  places, num = compact(is_parent)
  ranks = (jnp.cumsum(is_parent) - 1)[rows.parents]
  return Parents(places, units[places], ranks, num)


def advance(
  model: RowModel, memory: Memory, rows: Rows, most: int, summarise: Summarise
) -> Memory:
  """Reads a token per row; predicts the next and keeps what `summarise` makes of it.

  What depends on a parent alone is computed once per distinct parent.

  Args:
    model: reads and predicts.
    memory: made by `allocate`; its states are those of the rows before.
    rows: what is read, by whom.
    most: rows that may be needed at once.
    summarise: makes what is kept of the log-probabilities.

  Returns:
    The memory, with the states and summaries packed as `rows` are.
  """
  sizes = chunk_sizes(most)
  parents = distinct_parents(rows)

  def prepare(places):
    chosen = take(memory.state, parents.rows[places])
    return model.prepare(chosen, parents.units[places])

  def read(places):
    return model.read(take(prepared, parents.ranks[places]), rows.tokens[places])

  def predict(places):
    return summarise(log_probs(model, take(state, places)), places)

  prepared, *did_prepare = in_chunks(parents.num, prepare, memory.prepared, sizes=sizes)
  state, *did_read = in_chunks(rows.num, read, memory.state, sizes=sizes)
  summaries, *did_predict = in_chunks(rows.num, predict, memory.summaries, sizes=sizes)
  did = zip(did_prepare, did_read, did_predict, strict=True)
  needed = (parents.num, rows.num, rows.num)
  work = add_work(memory.work, Work(*map(jnp.stack, (needed, *did))))
  return Memory(state, prepared, summaries, work)
