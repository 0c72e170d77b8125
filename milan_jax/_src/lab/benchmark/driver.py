"""Starts the contenders and runs them in turns."""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.lab.benchmark.spec import OURS, Spec


@dataclasses.dataclass
class Outcome:
  """The results of one contender.

  Attributes:
    spec: the configuration.
    seconds: duration of its fastest run.
    tokens: the decoded tokens.
    scores: the scores of the tokens, in nats.
    figures: memory, arithmetic and other figures, by name.
  """

  spec: Spec
  seconds: float
  tokens: np.ndarray
  scores: np.ndarray
  figures: dict[str, Any]


class _Process:
  """The process of one contender."""

  def __init__(self, spec: Spec):
    self.spec = spec
    environment = dict(os.environ)
    # Compilation time is measured, so the compilation cache is off.
    environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    # The process that starts the contenders may use the GPU, too.
    environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    if spec.contender == OURS and spec.devices > 1:
      flag = f"--xla_force_host_platform_device_count={spec.devices}"
      known = environment.get("XLA_FLAGS", "")
      environment["XLA_FLAGS"] = f"{known} {flag}".strip()
    self._process = subprocess.Popen(
      [sys.executable, "-m", "milan_jax._src.lab.benchmark.contender"],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      env=environment,
      # Ctrl-C signals a process group; only this process handles it and ends the rest.
      process_group=0 if os.name == "posix" else None,
    )
    self._send(dataclasses.asdict(spec))
    self.prepared = self._answer()

  def _send(self, request: dict[str, Any]) -> None:
    assert self._process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # `_answer` reports the dead process
      self._process.stdin.write(json.dumps(request) + "\n")
      self._process.stdin.flush()

  def _answer(self) -> dict[str, Any]:
    assert self._process.stdout is not None
    line = self._process.stdout.readline()
    if not line:
      code = self._process.wait()
      raise UserError(
        f"The process of {self.spec.contender}, {self.spec.strategy} at batch "
        f"{self.spec.batch}, ended with {code}; its output is above. If memory ran "
        "out, use smaller --batches or fewer --against."
      )
    answer: dict[str, Any] = json.loads(line)
    return answer

  def ask(self, **request: Any) -> dict[str, Any]:
    self._send(request)
    return self._answer()

  def end(self) -> None:
    self._process.kill()
    self._process.wait()
    for stream in (self._process.stdin, self._process.stdout):
      if stream is not None:
        with contextlib.suppress(BrokenPipeError):
          stream.close()


@contextlib.contextmanager
def _running(specs: Sequence[Spec]) -> Iterator[list[_Process]]:
  processes: list[_Process] = []
  try:
    for spec in specs:
      processes.append(_Process(spec))
    yield processes
  finally:
    for process in processes:
      process.end()


def race(
  specs: Sequence[Spec], *, rounds: int, folder: pathlib.Path, together: bool = True
) -> list[Outcome]:
  """Runs contenders one at a time, and keeps each one's fastest run.

  Args:
    specs: the contenders.
    rounds: number of runs of each contender.
    folder: the folder in which they write their tokens and scores.
    together: whether they run in turns, so that other load on the machine slows all of
      them. Otherwise each one's process ends before the next starts, so that none uses
      the memory of a GPU that another needs.

  Raises:
    UserError: if a contender's process died.
  """
  if not together:
    alone = ([spec] for spec in specs)
    return [
      outcome for each in alone for outcome in race(each, rounds=rounds, folder=folder)
    ]
  with _running(specs) as processes:
    seconds = [float("inf")] * len(processes)
    for _ in range(rounds):
      for i, process in enumerate(processes):
        seconds[i] = min(seconds[i], process.ask(do="run")["seconds"])
    outcomes = []
    for process, fastest in zip(processes, seconds, strict=True):
      path = folder / "results.npz"
      figures = process.prepared | process.ask(do="results", path=str(path))
      with np.load(path) as found:
        outcome = Outcome(
          process.spec, fastest, found["tokens"], found["scores"], figures
        )
      outcomes.append(outcome)
  return outcomes
