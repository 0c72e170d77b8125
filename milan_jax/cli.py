"""The commands: flags and configuration in, exit codes out."""

import dataclasses
import errno
import os
import sys
from collections.abc import Callable, Sequence

import jax

from milan_jax import config, flags
from milan_jax.errors import UserError
from milan_jax.store.compile_cache import use_compile_cache

# The user's to mend: a full disk, a quota, a folder that may not be written to.
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS}


def _run(name: str, command: Callable[[Sequence[str]], None]) -> int:
  """Runs a command and returns its exit code: 0, or 2 after one message."""
  # Products in full float32 on every device: scores are exact before they are fast.
  jax.config.update("jax_default_matmul_precision", "highest")
  use_compile_cache()
  try:
    command(sys.argv)
  except UserError as error:
    print(f"{name}: {error}", file=sys.stderr)
    if jax.distributed.is_initialized():
      # At a usual exit JAX would wait minutes for the other processes.
      sys.stderr.flush()
      os._exit(2)
    return 2
  except BrokenPipeError:
    # Whoever read our output (head, less) has seen enough; say nothing at exit either.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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
  except KeyboardInterrupt:
    print(f"\n{name}: stopped; the same command goes on.", file=sys.stderr)
    return 130
  return 0


def _no_positional(positional: Sequence[str]) -> None:
  if positional:
    raise UserError(f"Expected flags only, found {positional[0]!r}; --help lists them.")


def describe() -> int:
  """Runs `milan-describe`."""

  def command(arguments: Sequence[str]) -> None:
    options, positional = flags.parse(config.Describe, arguments)
    _no_positional(positional)
    from milan_jax.pipeline.describe import describe
    from milan_jax.pipeline.subject import list_layers

    keywords = dataclasses.asdict(options)
    if keywords.pop("list_layers"):
      print(list_layers(**keywords))
      return
    describe(**keywords)

  return _run("milan-describe", command)


def train() -> int:
  """Runs `milan-train`."""

  def command(arguments: Sequence[str]) -> None:
    options, positional = flags.parse(config.Train, arguments)
    _no_positional(positional)
    from milan_jax.pipeline.train import train

    train(**dataclasses.asdict(options))

  return _run("milan-train", command)


def convert() -> int:
  """Runs `milan-convert`."""

  def command(arguments: Sequence[str]) -> None:
    _, positional = flags.parse(config.Convert, arguments)
    if len(positional) != 2:
      raise UserError(
        f"Expected CHECKPOINT OUT_DIR, found {len(positional)} arguments."
      )
    from milan_jax.store.official import convert

    digest = convert(*positional)
    print(f"{positional[0]}: sha256 {digest}")
    print(positional[1])

  return _run("milan-convert", command)


def bench() -> int:
  """Runs `milan-bench`."""

  def command(arguments: Sequence[str]) -> None:
    options, positional = flags.parse(config.Bench, arguments)
    _no_positional(positional)
    from milan_jax.benchmark.run import bench

    bench(**dataclasses.asdict(options))

  return _run("milan-bench", command)


def corpus() -> int:
  """Runs `milan-corpus`."""

  def command(arguments: Sequence[str]) -> None:
    options, positional = flags.parse(config.Corpus, arguments)
    _no_positional(positional)
    from milan_jax.pipeline.corpus import build

    build(**dataclasses.asdict(options))

  return _run("milan-corpus", command)


def evaluate() -> int:
  """Runs `milan-eval`."""

  def command(arguments: Sequence[str]) -> None:
    options, positional = flags.parse(config.Eval, arguments)
    _no_positional(positional)
    from milan_jax.evaluation.run import evaluate

    evaluate(**dataclasses.asdict(options))

  return _run("milan-eval", command)
