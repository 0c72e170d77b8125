"""`train.py` as a user runs it: to a release that describes, and with bad input."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from milan_jax.config import Train
from milan_jax.errors import UserError
from milan_jax.pipeline import train as module
from milan_jax.pipeline.training_data import find_annotated
from milan_jax.records import Unit
from milan_jax.store.annotations import write_annotations
from milan_jax.store.hold import hold
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


class _BegunError(Exception):
  """The run directory is open, and the work would begin."""


@pytest.fixture
def begin(corpus, tmp_path, monkeypatch):
  """Begins a training, or goes on with one, as far as its inputs are looked at."""

  def stop(*_, **__):
    raise _BegunError

  monkeypatch.setattr(module, "region_encoder", stop)
  path = tmp_path / "corpus"
  shutil.copytree(corpus, path)

  def begin(exemplars=path, **options):
    keywords = dataclasses.asdict(Train(workdir=str(tmp_path / "run")))
    keywords |= {"exemplars": str(exemplars), "encoder_layers": "act0"} | options
    module.train(**keywords)

  return path, begin


def _change_a_mask(corpus):
  path = corpus / "layers" / "patches" / "masks.npy"
  masks = np.load(path)
  masks[-1, -1, 0] ^= 1
  np.save(path, masks)


def _change_a_caption(corpus):
  path = corpus / "annotations.csv"
  path.write_text(path.read_text().replace("blue areas", "azure areas", 1))


@pytest.mark.parametrize(
  ("change", "words"),
  [
    (_change_a_mask, r"--exemplars: 1 of \d+ files changed .*layers/patches/masks.npy"),
    (_change_a_caption, "--annotations: 1 of 24 .* changed since .*first patches 2;"),
  ],
)
def test_a_training_goes_on_from_what_it_began_with(begin, tmp_path, change, words):
  path, begin = begin
  with pytest.raises(_BegunError):
    begin()
  shutil.copytree(path, tmp_path / "moved")
  with pytest.raises(_BegunError):
    begin(tmp_path / "moved")
  change(path)
  noted = (tmp_path / "run" / "config.json").read_bytes()
  with pytest.raises(UserError, match=words):
    begin()
  assert (tmp_path / "run" / "config.json").read_bytes() == noted


def test_one_training_at_a_time_works_in_a_folder(begin, tmp_path):
  _, begin = begin
  with hold(tmp_path / "run"), pytest.raises(UserError, match="in use by another run"):
    begin()
  with pytest.raises(_BegunError):
    begin()
  assert not (tmp_path / "run" / ".lock").exists()


def test_every_feature_is_part_of_what_a_training_began_with():
  features = np.random.default_rng(0).normal(size=(300, 2, 3)).astype(np.float32)
  described = {Unit("a", unit): ("red",) for unit in range(300)}

  def fingerprint():
    units = {"a": np.arange(300)}
    return find_annotated({"a": features}, units, described).fingerprint

  before = fingerprint()
  features[1, 1, 2] += 1e-3
  assert fingerprint() != before
