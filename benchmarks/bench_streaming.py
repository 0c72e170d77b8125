"""Describes many units from a feature store and watches the memory of the process.

python benchmarks/bench_streaming.py --units 17000 --json streaming.json

The captioner has random peaked weights of the paper's sizes (see `milan-bench`), and
the features are random ones: 0.23 MB a unit on the disk while it runs. The memory of
`milan-describe` is read a few times a second; it is flat if it does not grow between
the first tenth of the units and the last.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from milan_jax._src.lab.benchmark.peaked import REGIONS, peaked_release, random_features
from milan_jax._src.records import LayerExemplars
from milan_jax._src.store.feature_store import FeatureWriter
from milan_jax._src.store.release import save_release

ROOT = pathlib.Path(__file__).resolve().parents[1]
UNITS_AT_ONCE = 250


def write_features(folder: pathlib.Path, units: int, size: int) -> None:
  rows = np.zeros((units, REGIONS), int)
  none = np.zeros(units, bool)
  layer = LayerExemplars("random", np.arange(units), rows, rows, None, None, none)
  with FeatureWriter(folder, [layer], feature_size=size, total=1) as writer:
    for start in range(0, units, UNITS_AT_ONCE):
      drawn = random_features(min(UNITS_AT_ONCE, units - start), size, seed=start)
      for row, slot in np.ndindex(*drawn.shape[:2]):
        writer.write(0, start + row, slot, drawn[row, slot])
    writer.save(1)


def memory_mb(process: int) -> float:
  status = pathlib.Path(f"/proc/{process}/status")
  for line in status.read_text().splitlines():
    if line.startswith("VmRSS"):
      return int(line.split()[1]) * 1024 / 1e6
  return 0.0  # it has just ended


def watch(command: list[str], journal: pathlib.Path) -> list[tuple[float, int, float]]:
  """Runs a command; tells seconds, bytes of the journal and MB, again and again."""
  began = time.perf_counter()
  seen = []
  with subprocess.Popen(command, cwd=ROOT) as process:
    while process.poll() is None:
      size = journal.stat().st_size if journal.exists() else 0
      seen.append((time.perf_counter() - began, size, memory_mb(process.pid)))
      time.sleep(0.25)
    if process.returncode:
      sys.exit(process.returncode)
  return seen


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--units", type=int, default=17000)
  parser.add_argument("--batch_size", type=int, default=64)
  parser.add_argument("--folder", type=pathlib.Path, help="where the features go")
  parser.add_argument("--json", type=pathlib.Path, help="where to write the figures")
  options = parser.parse_args()
  with tempfile.TemporaryDirectory(dir=options.folder) as name:
    folder = pathlib.Path(name)
    release = peaked_release(vocab_size=5000, hidden_size=512)
    save_release(release, folder / "release")
    write_features(folder / "features", options.units, release.captioner.feature_size)
    command = [sys.executable, str(ROOT / "describe.py")]
    command += [f"--features={folder / 'features'}", f"--milan={folder / 'release'}"]
    command += [f"--workdir={folder / 'run'}", f"--batch_size={options.batch_size}"]
    seen = watch(command, folder / "run" / "descriptions.jsonl")
    with (folder / "run" / "descriptions.csv").open() as file:
      described = sum(1 for _ in file) - 1
  total = seen[-1][1]
  soon = max(total / 10, min(size for _, size, _ in seen if size))
  early = max(mb for _, size, mb in seen if 0 < size <= soon)
  late = max(mb for _, size, mb in seen if size >= total * 0.9)
  first = next(seconds for seconds, size, _ in seen if size)
  figures = {
    "units": described,
    "units_per_s": described / (seen[-1][0] - first),
    "peak_mb_in_the_first_tenth": early,
    "peak_mb_in_the_last_tenth": late,
    "growth": late / early - 1,
    "peak_mb": max(mb for *_, mb in seen),
    "features_mb": described * REGIONS * release.captioner.feature_size * 4 / 1e6,
  }
  print("\n".join(f"{name}: {value:.4g}" for name, value in figures.items()))
  if options.json:
    options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
  main()
