"""Several processes that work together, on one machine or on many."""

import contextlib
import pathlib
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from milan_jax._src.errors import UserError
from milan_jax._src.runs.locks import LOCK, hold

BEGUN = ".begun"
# Seconds between looks at what another process has to do.
_LOOK_EVERY = 0.2


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
    jax.devices()  # the processes meet now: whoever came later would find nobody
  except RuntimeError as error:
    raise UserError(
      f"--coordinator={coordinator}: the {num_processes} processes did not meet: "
      f"{str(error).splitlines()[0]}"
    ) from error


def is_first() -> bool:
  """Whether this process is the one that writes."""
  return jax.process_index() == 0


@contextlib.contextmanager
def hold_together(workdir: str) -> Iterator[pathlib.Path]:
  """Keeps other runs out of a run directory; the first process does it for all.

  Yields:
    The directory.

  Raises:
    UserError: in all processes, if another run holds it or it cannot be written to.
  """
  with contextlib.ExitStack() as held:
    refused: UserError | None = None
    folder = pathlib.Path(workdir)
    if is_first():
      try:
        held.enter_context(hold(workdir))
        held.callback((folder / BEGUN).unlink, missing_ok=True)
        (folder / BEGUN).unlink(missing_ok=True)
      except UserError as error:
        refused = error
    if not told_by_first(int(refused is None)):
      raise refused or UserError(
        f"--workdir: the first process cannot use {workdir}, and says why."
      )
    if not is_first():
      # Of a run whose first process was killed, the others may still be at work.
      held.enter_context(hold(workdir, name=f"{LOCK}-{jax.process_index()}"))
    yield folder


def wait_for_leave(folder: pathlib.Path) -> None:
  """Waits, in all processes but the first, until that has seen that the run may go on.

  Until then none of them reads what the run directory holds or writes into it.
  """
  if not is_first():
    wait_until((folder / BEGUN).exists)


def give_leave(folder: pathlib.Path) -> None:
  """Tells the other processes that the run goes on; only the first process can."""
  if is_first() and jax.process_count() > 1:
    (folder / BEGUN).touch()


def wait_until(done: Callable[[], bool]) -> None:
  """Waits for what another process does to a file system that all share.

  Where that process dies, JAX's heartbeat ends this one, after a minute or two.
  """
  while not done():
    time.sleep(_LOOK_EVERY)


def told_by_first(value: int) -> int:
  """The first process's value, in all of them; waits for all."""
  if jax.process_count() == 1:
    return value
  told = multihost_utils.broadcast_one_to_all(np.int32(value))
  return int(told)
