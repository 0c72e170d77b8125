"""Several processes that decode together, on one machine or on many."""

import jax
import numpy as np
from jax.experimental import multihost_utils

from milan_jax.errors import UserError


def join_processes(coordinator: str, num_processes: int, process_id: int) -> None:
  """Joins the other processes, before anything else asks for a device.

  Args:
    coordinator: address of process 0, `HOST:PORT`, the same for all; empty for one
      process alone.
    num_processes: how many there are.
    process_id: which of them this is.

  Raises:
    UserError: the three do not fit together, or the others could not be reached.
  """
  if not coordinator:
    if num_processes != 1:
      raise UserError(
        f"--num_processes={num_processes}: name the first one's --coordinator, "
        "HOST:PORT, too."
      )
    return
  if not 0 <= process_id < num_processes or ":" not in coordinator:
    raise UserError(
      f"--coordinator: expected HOST:PORT, found {coordinator!r}; --process_id: "
      f"expected 0 to {num_processes - 1}, found {process_id}."
    )
  try:
    jax.distributed.initialize(
      coordinator, num_processes=num_processes, process_id=process_id
    )
  except RuntimeError as error:
    raise UserError(
      f"--coordinator={coordinator}: the {num_processes} processes did not meet: "
      f"{str(error).splitlines()[0]}"
    ) from error


def is_first() -> bool:
  """Whether this process is the one that writes."""
  return jax.process_index() == 0


def told_by_first(value: int) -> int:
  """The first process's value, in all of them; waits for all."""
  if jax.process_count() == 1:
    return value
  told = multihost_utils.broadcast_one_to_all(np.int32(value))
  return int(told)
