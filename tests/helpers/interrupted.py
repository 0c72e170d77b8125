"""A command that gets SIGINT at the moment that its argument names."""

import multiprocessing.process
import os
import pathlib
import signal
import sys
import threading
import time

MOMENT = sys.argv.pop(1)


def interrupt():
  """To the group, as a terminal sends it."""
  os.killpg(os.getpgrp(), signal.SIGINT)


class Finder:
  """Finds no module: is asked before each import."""

  def find_spec(self, name, path=None, target=None):
    del path, target
    if name == MOMENT:
      interrupt()


def swallowed():
  try:
    interrupt()
    time.sleep(60)
  except BaseException:
    pass


def forever():
  swallowed()
  threading.Event().wait()


def changed():
  try:
    interrupt()
    time.sleep(60)
  except KeyboardInterrupt as error:
    raise RuntimeError("a callback failed") from error


def finalizer():
  class Last:
    def __del__(self):
      interrupt()
      time.sleep(60)

  Last()


def workers():
  """While a process that decodes images imports what it needs."""
  import numpy as np

  from milan_jax._src.images.arrays import ArrayImages
  from milan_jax._src.images.loader import batches

  start = multiprocessing.process.BaseProcess.start

  def started(process):
    # Once: another may start while the first interrupt ends what there is.
    multiprocessing.process.BaseProcess.start = start
    start(process)
    status = pathlib.Path(f"/proc/{process.pid}/status")
    if status.exists():
      line = next(s for s in status.read_text().splitlines() if "SigBlk" in s)
      blocked = int(line.split()[1], 16) >> (signal.SIGINT - 1) & 1
      print("a worker would show a traceback" * (not blocked), end="")
    interrupt()

  multiprocessing.process.BaseProcess.start = started
  list(batches(ArrayImages(np.zeros((9, 4, 4, 3), np.uint8)), 2, workers=2))


if __name__ == "__main__":
  # Tests that a shell runs in the background inherit a Ctrl-C that is ignored.
  signal.signal(signal.SIGINT, signal.default_int_handler)
  sys.meta_path.insert(0, Finder())
  from milan_jax._src.commands import main, milan_convert, milan_describe

  commands = (swallowed, forever, changed, finalizer, workers)
  command = {function.__name__: function for function in commands}.get(MOMENT)
  if command is None:
    sys.exit(milan_describe.main())
  main._prepare_jax = lambda: None
  options = milan_convert._options
  sys.exit(main.run("milan-describe", options, lambda: lambda given: command()))
