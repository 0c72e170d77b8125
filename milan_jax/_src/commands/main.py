"""How a command runs: options in, exit codes out.

This module imports nothing that takes time: what a command needs is imported once
errors and Ctrl-C are looked after.
"""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
  from collections.abc import Callable
  from typing import Any

  from milan_jax._src.commands.interrupts import Interrupts

# The user's to fix: a full disk, a quota, a folder that may not be written to.
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS}
# A path that cannot be what it was given as.
_PATH = {
  *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EPERM),
  *(errno.ENAMETOOLONG, errno.ELOOP),
}


def run(
  name: str,
  options: Callable[[], type[Any]],
  load: Callable[[], Callable[..., Any]],
  positional: tuple[str, ...] = (),
) -> int:
  """Runs a command.

  Args:
    name: what it is called.
    options: imports the dataclass of its options, which takes no time.
    load: imports the command, which takes positional arguments and the options.
    positional: names of its positional arguments.

  Returns:
    The exit code: 0, 2 after one message, or 130 after Ctrl-C.
  """
  try:
    from milan_jax._src.commands.interrupts import Interrupts

    interrupts = Interrupts(name)
  except KeyboardInterrupt:
    print(f"{name}: stopped; run the same command to resume.", file=sys.stderr)
    return 130
  try:
    code = _exit_code(name, options, load, positional, interrupts)
  except BaseException:
    # KeyboardInterrupt, or what a library made of it.
    if not interrupts.heard:
      raise
  finally:
    interrupts.end()
  if not interrupts.heard:
    return code
  interrupts.say()
  return 130


def _exit_code(
  name: str,
  options: Callable[[], type[Any]],
  load: Callable[[], Callable[..., Any]],
  positional: tuple[str, ...],
  interrupts: Interrupts,
) -> int:
  from milan_jax._src.errors import UserError
  from milan_jax._src.files.names import shown

  try:
    from milan_jax._src.commands import flags

    given, arguments = flags.parse(options(), sys.argv)
    if len(arguments) != len(positional):
      expected = " ".join(positional) or "flags only"
      found = " ".join(map(repr, arguments)) or "none"
      raise UserError(f"Expected {expected}, found {found}; --help lists the flags.")
    _prepare_jax()
    command = load()
    interrupts.unwind()
    command(*arguments, given)
  except UserError as error:
    print(f"{name}: {shown(error.for_command_line)}", file=sys.stderr)
    jax = sys.modules.get("jax")
    if jax and jax.distributed.is_initialized():
      # At a usual exit JAX would wait minutes for the other processes.
      sys.stderr.flush()
      os._exit(2)
    return 2
  except BrokenPipeError:
    # Whoever read our output (head, less) has seen enough; say nothing at exit either.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
  except MemoryError as error:
    print(
      f"{name}: not enough memory ({error or 'no more is given'}). What was finished "
      "is kept: lower the sizes of batches, beams or images.",
      file=sys.stderr,
    )
    return 2
  except OSError as error:
    if error.errno in _PATH and error.filename is not None:
      path = shown(os.fsdecode(error.filename))
      print(f"{name}: {path}: {error.strerror}: name another path.", file=sys.stderr)
      return 2
    if error.errno not in _DISK:
      raise
    where = f" ({error.filename})" if error.filename else ""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    print(
      f"{name}: {error.strerror}{where}. What was finished is kept: "
      f"{'make room' if full else 'give access'}, then run the same command to resume.",
      file=sys.stderr,
    )
    return 2
  return 0


def _prepare_jax() -> None:
  from milan_jax._src.runs.compile_cache import use_compile_cache
  from milan_jax._src.runs.memory import share_device_memory

  share_device_memory()
  use_compile_cache()
