"""`train.py` as a user runs it: to a release that describes, and with bad input."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from milan_jax._src.api.describe_run import describe
from milan_jax._src.commands.flags import parse
from milan_jax._src.errors import UserError
from milan_jax._src.options.describe import DescribeOptions
from milan_jax._src.options.train import TrainOptions
from milan_jax._src.records import Unit
from milan_jax._src.runs.locks import LOCK, hold
from milan_jax._src.store.annotations import write_annotations
from milan_jax._src.store.region_sets import RegionSetWriter
from milan_jax._src.store.release import load_release
from milan_jax._src.training import training_run as module
from milan_jax._src.training.training_data import find_annotated
from milan_jax._src.training.training_run import train
from tests.store.resealed import reseal

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLORS = {"red": (220, 30, 30), "green": (30, 180, 30), "blue": (30, 30, 220)}
UNITS, K, SIZE = 24, 3, 64


def _start(*flags):
  return subprocess.Popen(
    [sys.executable, str(ROOT / "train.py"), *map(str, flags)],
    cwd=ROOT,
    env=dict(os.environ),
    stderr=subprocess.PIPE,
    text=True,
  )


def _call(kind, command, *flags):
  """Runs a command in this process, as the command line would."""
  options, _ = parse(kind, ["command", *map(str, flags)])
  return command(options)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
  """Units of three colors, on noise."""
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
    }
    # Left out, and with them the unit that is described by nothing else.
    | {Unit("patches", 0): ("red things", "black people", "red areas")}
    | {Unit("patches", 100): ("tan hands", "old men")},
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


def _check_together(processes):
  """One of them works; the others say that it does, or that it did."""
  said = [process.communicate()[1] for process in processes]
  codes = [process.returncode for process in processes]
  assert set(codes) <= {0, 2} and "Traceback" not in "".join(said), said
  assert sum("captioner, epoch 0:" in text for text in said) == 1, said
  for code, text in zip(codes, said, strict=True):
    last = text.strip().splitlines()[-1]
    if code == 2:
      assert last.startswith("milan-train: --workdir: ")
      assert "is in use by another run (process " in last
    elif "captioner, epoch 0:" not in text:
      # Whoever was so late as to find the run finished.
      assert "nothing is left to do" in last


def test_a_trained_captioner_names_colors_it_was_not_shown(corpus, flags, tmp_path):
  """Trained by one of two processes that were started together."""
  workdir = tmp_path / "train"
  command = (*flags, f"--workdir={workdir}")
  _check_together([_start(*command), _start(*command)])
  assert not (workdir / LOCK).exists()
  report = json.loads((workdir / "report.json").read_text())
  assert report["units"] == {"training": 18, "validation": 3, "test": 3}
  release = load_release(workdir / "milan")
  assert set(release.vocabulary) == {*COLORS, "things", "areas"}
  assert release.decoding.guarded and "3 captions" in release.card["persons"]
  _call(
    DescribeOptions,
    describe,
    f"--exemplars={corpus}",
    "--units=21:24",
    f"--milan={workdir / 'milan'}",
    f"--workdir={tmp_path / 'describe'}",
    "--strategy=beam",
    "--beam_size=4",
    "--nopage",
  )
  lines = (tmp_path / "describe" / "descriptions.csv").read_text().splitlines()[1:]
  said = [line.split(",")[2].split()[0] for line in lines]
  assert said == ["Red", "Green", "Blue"]


def test_a_bad_option_ends_in_one_sentence(flags, tmp_path):
  process = _start(*flags, f"--workdir={tmp_path / 'run'}", "--exemplars=/nowhere")
  said = process.communicate()[1].strip()
  assert process.returncode == 2
  assert said.startswith("milan-train: ") and "/nowhere" in said
  assert len(said.splitlines()) == 1
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  ("changed", "words"),
  [
    (("--exemplars=",), ("--exemplars",)),
    (("--encoder=resnet18", "--encoder_layers="), ("--encoder_weights",)),
    (("--encoder_layers=layer1",), ("layer1",)),
    (("--config=configs/parity.py",), ("TrainOptions", "DescribeOptions")),
    (("--split=/nowhere.csv",), ("/nowhere.csv",)),
  ],
  ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_bad_options(flags, tmp_path, changed, words):
  with pytest.raises(UserError) as error:
    _call(TrainOptions, train, *flags, f"--workdir={tmp_path / 'run'}", *changed)
  for word in words:
    assert word in error.value.for_command_line
  assert not (tmp_path / "run").exists()


class _BegunError(Exception):
  """The run directory is open, and the work would begin."""


@pytest.fixture
def begin(corpus, tmp_path, monkeypatch):
  """Begins a training, or goes on with one, as far as its inputs are looked at."""

  def stop(*_, **__):
    raise _BegunError

  monkeypatch.setattr(module, "encode_exemplars", stop)
  path = tmp_path / "corpus"
  shutil.copytree(corpus, path)

  def begin(exemplars=path, **options):
    own = {"workdir": str(tmp_path / "run"), "exemplars": str(exemplars)}
    train(TrainOptions.of(**own | {"encoder_layers": "act0"} | options))

  return path, begin


def _change_a_mask(corpus):
  path = corpus / "layers" / "patches" / "masks.npy"
  masks = np.load(path)
  masks[-1, -1, 0] ^= 1
  np.save(path, masks)
  reseal(corpus)


def _change_a_caption(corpus):
  path = corpus / "annotations.csv"
  path.write_text(path.read_text().replace("blue areas", "azure areas", 1))


@pytest.mark.parametrize(
  ("change", "words"),
  [
    (_change_a_mask, r"exemplars: 2 of \d+ files changed .*first meta.json;"),
    (_change_a_caption, "annotations: 1 of 24 .* changed since .*first patches 2;"),
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
    units = {"a": list(described)}
    return find_annotated({"a": features}, units, described).fingerprint

  before = fingerprint()
  features[1, 1, 2] += 1e-3
  assert fingerprint() != before
