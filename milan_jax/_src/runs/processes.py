"""Coordinates several processes of one run, on one or more machines."""

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
# Seconds between checks for another process's result.
_POLL_SECONDS = 0.2


def join_processes(coordinator: str, num_processes: int, process_id: int) -> None:
  """Joins the other processes; must run before anything else uses a device.

  Args:
    coordinator: address of process 0, `HOST:PORT`, the same for all; empty for a
      single process.
    num_processes: number of processes.
    process_id: number of this process, from 0.

  Raises:
    UserError: if the arguments are inconsistent, or the other processes cannot be
      reached.
  """
  if not coordinator:
    given = {"num_processes": (num_processes, 1), "process_id": (process_id, 0)}
    for flag, (value, alone) in given.items():
      if value != alone:
        raise UserError(
          f"--{flag}={value}: also give --coordinator, the HOST:PORT of process 0."
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
    jax.devices()  # the processes connect here; later they would not find each other
  except RuntimeError as error:
    raise UserError(
      f"--coordinator={coordinator}: the {num_processes} processes could not connect: "
      f"{str(error).splitlines()[0]}"
    ) from error


def is_primary() -> bool:
  """Returns whether this process is process 0, which writes the results."""
  return jax.process_index() == 0


@contextlib.contextmanager
def hold_together(workdir: str) -> Iterator[pathlib.Path]:
  """Locks a run directory against other runs; the primary process does it for all.

  Yields:
    The directory.

  Raises:
    UserError: in all processes, if another run uses it or it is not writable.
  """
  with contextlib.ExitStack() as held:
    refused: UserError | None = None
    folder = pathlib.Path(workdir)
    if is_primary():
      try:
        held.enter_context(hold(workdir))
        held.callback((folder / BEGUN).unlink, missing_ok=True)
        (folder / BEGUN).unlink(missing_ok=True)
      except UserError as error:
        refused = error
    if not broadcast_from_primary(int(refused is None)):
      raise refused or UserError(
        f"--workdir: the first process cannot use {workdir}; see its message."
      )
    if not is_primary():
      # The other processes of a run whose primary was killed may still be running.
      held.enter_context(hold(workdir, name=f"{LOCK}-{jax.process_index()}"))
    yield folder


def wait_for_start(folder: pathlib.Path) -> None:
  """Waits in all processes but the primary until the primary calls `signal_start`.

  Until then the others neither read from nor write to the run directory.
  """
  if not is_primary():
    wait_until((folder / BEGUN).exists)


def signal_start(folder: pathlib.Path) -> None:
  """Lets the other processes continue; has no effect outside the primary process."""
  if is_primary() and jax.process_count() > 1:
    (folder / BEGUN).touch()


def wait_until(done: Callable[[], bool]) -> None:
  """Waits until a condition on the shared file system holds.

  If another process dies, JAX's heartbeat ends this one after a minute or two.
  """
  while not done():
    time.sleep(_POLL_SECONDS)


def broadcast_from_primary(value: int) -> int:
  """Returns the primary process's value in every process; waits for all processes."""
  if jax.process_count() == 1:
    return value
  return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


@contextlib.contextmanager
def primary_first() -> Iterator[None]:
  """Runs the block in the primary process, and then in the others.

  The block must take less than half a minute, after which the others give up.
  """
  if not is_primary():
    broadcast_from_primary(0)
  try:
    yield
  finally:
    if is_primary():
      broadcast_from_primary(0)
