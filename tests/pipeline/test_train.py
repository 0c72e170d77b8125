"""`train.py` as a user runs it: to a release that describes, and with bad input."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from milan_jax.records import Unit
from milan_jax.store.annotations import write_annotations
from milan_jax.store.region_sets import RegionSetWriter
from milan_jax.store.release import load_release

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLORS = {"red": (220, 30, 30), "green": (30, 180, 30), "blue": (30, 30, 220)}
UNITS, K, SIZE = 24, 3, 64


def _run(script, *flags):
  return subprocess.run(
    [sys.executable, str(ROOT / script), *map(str, flags)],
    cwd=ROOT,
    env=dict(os.environ),
    capture_output=True,
    text=True,
  )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
  """Units of three colours, on noise."""
  folder = tmp_path_factory.mktemp("corpus") / "corpus"
  rng = np.random.default_rng(0)
  names = list(COLORS)
  with RegionSetWriter(folder, "patches", k=K, size=SIZE) as writer:
    for unit in range(UNITS):
      rows, masks = [], np.zeros((K, SIZE, SIZE), bool)
      for slot in range(K):
        image = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        top, left = rng.integers(0, SIZE - 24, 2)
        masks[slot, top : top + 24, left : left + 24] = True
        image[masks[slot]] = COLORS[names[unit % 3]]
        rows.append(writer.image((unit, slot), image))
      writer.add(unit, rows, masks)
  write_annotations(
    folder / "annotations.csv",
    {
      Unit("patches", unit): (f"{names[unit % 3]} things", f"{names[unit % 3]} areas")
      for unit in range(UNITS)
    },
  )
  parts = ["train"] * 18 + ["validation"] * 3 + ["test"] * 3
  lines = [f"patches,{unit},{part}" for unit, part in enumerate(parts)]
  (folder / "split.csv").write_text("\n".join(["layer,unit,split", *lines]) + "\n")
  return folder


@pytest.fixture(scope="module")
def flags(corpus):
  return (
    f"--exemplars={corpus}",
    "--encoder_layers=act0",
    "--hidden_size=32",
    "--embedding_size=8",
    "--lm_hidden_size=16",
    "--lm_embedding_size=8",
    "--lm_layers=1",
    "--batch_size=8",
    "--lm_batch_size=8",
    "--learning_rate=0.01",
    "--max_epochs=25",
    "--dropout=0",
  )


def test_a_trained_captioner_names_colours_it_was_not_shown(corpus, flags, tmp_path):
  workdir = tmp_path / "train"
  found = _run("train.py", *flags, f"--workdir={workdir}")
  assert found.returncode == 0, found.stderr
  report = json.loads((workdir / "report.json").read_text())
  assert report["units"] == {"training": 18, "validation": 3, "test": 3}
  release = load_release(workdir / "milan")
  assert set(release.vocabulary) == {*COLORS, "things", "areas"}
  found = _run(
    "describe.py",
    f"--exemplars={corpus}",
    "--units=21:24",
    f"--milan={workdir / 'milan'}",
    f"--workdir={tmp_path / 'describe'}",
    "--strategy=beam",
    "--beam_size=4",
    "--nopage",
  )
  assert found.returncode == 0, found.stderr
  lines = (tmp_path / "describe" / "descriptions.csv").read_text().splitlines()[1:]
  said = [line.split(",")[2].split()[0] for line in lines]
  assert said == ["Red", "Green", "Blue"]


@pytest.mark.parametrize(
  ("changed", "words"),
  [
    (("--exemplars=/nowhere",), ("/nowhere",)),
    (("--exemplars=",), ("--exemplars",)),
    (("--encoder=resnet18", "--encoder_layers="), ("--encoder_weights",)),
    (("--encoder_layers=layer1",), ("layer1",)),
    (("--config=configs/parity.py",), ("Train", "Describe")),
    (("--split=/nowhere.csv",), ("/nowhere.csv",)),
  ],
  ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_bad_options(flags, tmp_path, changed, words):
  found = _run("train.py", *flags, f"--workdir={tmp_path / 'run'}", *changed)
  assert found.returncode == 2, found.stderr
  assert "Traceback" not in found.stderr
  message = found.stderr.strip().splitlines()[-1]
  assert message.startswith("milan-train: ")
  for word in words:
    assert word in message
