"""The commands: flags and configuration in, exit codes out.

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

# The user's to mend: a full disk, a quota, a folder that may not be written to.
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS}


def _run(
  name: str,
  options: str,
  load: Callable[[], Callable[..., Any]],
  positional: tuple[str, ...] = (),
) -> int:
  """Runs a command.

  Args:
    name: what it is called.
    options: the name of its class in `milan_jax._src.options`.
    load: imports it; it takes positional arguments, and options by keyword.
    positional: names of its positional arguments.

  Returns:
    The exit code: 0, 2 after one message, or 130 after Ctrl-C.
  """
  try:
    from milan_jax._src.commands.interrupts import Interrupts

    interrupts = Interrupts(name)
  except KeyboardInterrupt:
    print(f"{name}: stopped; the same command goes on.", file=sys.stderr)
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
  options: str,
  load: Callable[[], Callable[..., Any]],
  positional: tuple[str, ...],
  interrupts: Interrupts,
) -> int:
  from milan_jax._src.errors import UserError
  from milan_jax._src.files.names import shown

  try:
    import dataclasses

    from milan_jax._src import options as config
    from milan_jax._src.commands import flags

    keywords, arguments = flags.parse(getattr(config, options), sys.argv)
    if len(arguments) != len(positional):
      expected = " ".join(positional) or "flags only"
      found = " ".join(map(repr, arguments)) or "none"
      raise UserError(f"Expected {expected}, found {found}; --help lists the flags.")
    _prepare_jax()
    command = load()
    interrupts.unwind()
    command(*arguments, **dataclasses.asdict(keywords))
  except UserError as error:
    print(f"{name}: {shown(str(error))}", file=sys.stderr)
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
    if error.errno not in _DISK:
      raise
    where = f" ({error.filename})" if error.filename else ""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    print(
      f"{name}: {error.strerror}{where}. What was finished is kept: "
      f"{'make room' if full else 'give access'}, and the same command goes on.",
      file=sys.stderr,
    )
    return 2
  return 0


def _prepare_jax() -> None:
  from milan_jax._src.runs.compile_cache import use_compile_cache

  use_compile_cache()


def describe() -> int:
  """Runs `milan-describe`."""

  def load() -> Callable[..., Any]:
    from milan_jax._src.api import describe_run as describe
    from milan_jax._src.probe import probe_target as subject

    def command(*, list_layers: bool, **options: Any) -> None:
      if list_layers:
        print(subject.list_layers(**options))
      else:
        describe.describe(**options)

    return command

  return _run("milan-describe", "Describe", load)


def train() -> int:
  """Runs `milan-train`."""

  def load() -> Callable[..., Any]:
    from milan_jax._src.training.training_run import train

    return train

  return _run("milan-train", "Train", load)


def convert() -> int:
  """Runs `milan-convert`."""

  def load() -> Callable[..., Any]:
    from milan_jax._src.store.official import convert

    def command(checkpoint: str, folder: str) -> None:
      digest = convert(checkpoint, folder)
      print(f"{checkpoint}: sha256 {digest}")
      print(folder)

    return command

  return _run("milan-convert", "Convert", load, ("CHECKPOINT", "OUT_DIR"))


def bench() -> int:
  """Runs `milan-bench`."""

  def load() -> Callable[..., Any]:
    from milan_jax._src.lab.benchmark.bench import bench

    return bench

  return _run("milan-bench", "Bench", load)


def corpus() -> int:
  """Runs `milan-corpus`."""

  def load() -> Callable[..., Any]:
    from milan_jax._src.lab.corpus.corpus_job import build

    return build

  return _run("milan-corpus", "Corpus", load)


def evaluate() -> int:
  """Runs `milan-eval`."""

  def load() -> Callable[..., Any]:
    from milan_jax._src.lab.evaluation.evaluate import evaluate

    return evaluate

  return _run("milan-eval", "Eval", load)
