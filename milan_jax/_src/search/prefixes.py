"""Distinct prefixes: a prefix shared by several hypotheses is computed once.

A language model does not depend on the units, so all units of a batch share one tree of
prefixes; a captioner has one tree per unit. The distinct prefixes of a step are the
distinct pairs of a prefix of the previous step and its next token.
"""

from collections.abc import Callable

from jaxtyping import Array, Float, Int

from milan_jax._src.search.advance import Memory, Rows, advance
from milan_jax._src.search.rows import Packing, distinct_pairs
from milan_jax._src.search.steps import BoundModel

# Returns the step scores of a chunk's log-probabilities, given the indices of its rows.
StepScorer = Callable[
  [Float[Array, "rows vocab"], Int[Array, "rows"]], Float[Array, "rows vocab"]
]


def unchanged(
  log_probs: Float[Array, "rows vocab"], indices: Int[Array, "rows"]
) -> Float[Array, "rows vocab"]:
  """Returns the log probabilities as scores and keeps all of them."""
  del indices
  return log_probs


def mutual_information(
  lm_memory: Memory, prefixes: Int[Array, "capacity"], temperature: float
) -> StepScorer:
  """Scores tokens by their weighted pointwise mutual information.

  Args:
    lm_memory: the language model's log-probabilities, as `unchanged` keeps them.
    prefixes: the prefix of each packed row, as `advance_prefixes` returns them.
    temperature: weight of the language model.

  Source: Hernandez et al. 2022, equation 2, applied at each step.
  """

  def scorer(
    log_probs: Float[Array, "rows vocab"], indices: Int[Array, "rows"]
  ) -> Float[Array, "rows vocab"]:
    lm_log_probs: Array = lm_memory.summaries[prefixes[indices]]
    return log_probs - temperature * lm_log_probs

  return scorer


def advance_prefixes(
  bound: BoundModel, memory: Memory, rows: Rows, max_rows: int, *, packing: Packing
) -> tuple[Memory, Int[Array, "capacity"]]:
  """Advances each distinct prefix of some rows.

  Args:
    bound: the model.
    memory: made by `allocate` with `unchanged`.
    rows: the tokens to read; several rows may have the same prefix.
    max_rows: rows that may be needed at once.
    packing: sizes of the rows computed together.

  Returns:
    The memory, packed by distinct prefix, and the prefix of each row.
  """
  found = distinct_pairs(rows.parents, rows.tokens, rows.num)
  parents, tokens, units = (x[found.indices] for x in rows[:3])
  chosen = Rows(parents, tokens, units, found.num)
  memory = advance(bound.model, memory, chosen, max_rows, unchanged, packing=packing)
  return memory, found.inverse
