"""`describe.py`, killed in one of its steps once something of it lies on disk.

Arguments: the step's bar, and the flags; the last one is --workdir.
"""

import contextlib
import json
import os
import pathlib
import signal
import sys

from milan_jax._src.runs import progress


def _features_begun(workdir):
  path = workdir / "features" / "progress.json"
  return path.exists() and json.loads(path.read_text())["done"] > 0


def _some_described(workdir):
  path = workdir / "descriptions.jsonl"
  return path.exists() and path.stat().st_size > 0


MOMENTS = {
  "exemplars": lambda workdir: any(workdir.glob("exemplars.partial/0-of-1.npz")),
  "features": _features_begun,
  "descriptions": _some_described,
}


def killed():
  moment = sys.argv.pop(1)
  workdir = pathlib.Path(sys.argv[-1].removeprefix("--workdir="))
  bar = progress.bar

  @contextlib.contextmanager
  def deadly(label, unit):
    with bar(label, unit) as show:

      def show_or_die(done, total):
        show(done, total)
        if label == moment and done < total and MOMENTS[moment](workdir):
          os.kill(os.getpid(), signal.SIGKILL)

      yield show_or_die

  progress.bar = deadly
  from milan_jax._src.commands.milan_describe import main

  sys.exit(main())


if __name__ == "__main__":
  killed()
