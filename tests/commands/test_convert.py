"""`milan-convert` and `--parity`: the outputs of the original from its own files."""

import csv
import json
import pathlib
import subprocess
import sys

import numpy as np
import torch

from milan_jax._src.store.official import convert
from tests.helpers.commands import run_here
from tests.helpers.feature_store import write_features
from tests.helpers.recorded import CHECKPOINT

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _convert(*arguments):
  command = pathlib.Path(sys.executable).parent / "milan-convert"
  return subprocess.run(
    [str(command), *map(str, arguments)], capture_output=True, text=True
  )


def _describe(*arguments):
  found = run_here(
    "describe",
    *("--parity", "--nopage", "--strategy=rerank"),
    *("--beam_size=50", "--temperature=0.2", *arguments),
  )
  assert found.returncode == 0, found.stderr


def _said_as_recorded(workdir, captions, scores):
  with (workdir / "descriptions.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert [row["description"] for row in rows] == captions
  found = [float(row["score"]) for row in rows]
  np.testing.assert_allclose(found, scores, atol=1e-4)


def test_checkpoint_and_features_of_the_original_give_its_descriptions(
  outputs, strings, tmp_path
):
  found = _convert(CHECKPOINT, tmp_path / "tiny")
  assert found.returncode == 0, found.stderr
  write_features(tmp_path / "features", outputs["features"])
  _describe(
    f"--features={tmp_path / 'features'}",
    f"--milan={tmp_path / 'tiny'}",
    f"--workdir={tmp_path / 'run'}",
  )
  name = "rerank50"
  _said_as_recorded(
    tmp_path / "run", strings[f"{name}/captions"], outputs[f"{name}/scores"]
  )


def test_exemplars_and_checkpoint_of_the_original_give_its_descriptions(
  whole_reference, tmp_path
):
  convert(whole_reference / "decoder-tiny.pth", tmp_path / "tiny")
  with np.load(whole_reference / "reference-tiny.npz") as arrays:
    outputs = dict(arrays)
  captions = json.loads(bytes(outputs["strings_json"]))["rerank50/captions"]
  layer = tmp_path / "exemplars" / "layer4"
  layer.mkdir(parents=True)
  np.save(layer / "images.npy", outputs["images"])
  np.save(layer / "masks.npy", outputs["masks"])
  _describe(
    f"--exemplars={tmp_path / 'exemplars'}",
    f"--milan={tmp_path / 'tiny'}",
    f"--workdir={tmp_path / 'run'}",
  )
  _said_as_recorded(tmp_path / "run", captions, outputs["rerank50/scores"])
  features = np.load(tmp_path / "run" / "features" / "0.npy")
  np.testing.assert_allclose(features, outputs["features"], atol=5e-5)


def test_bad_arguments(tmp_path):
  cut = tmp_path / "cut.pth"
  cut.write_bytes(CHECKPOINT.read_bytes()[:100_000])
  kind = tmp_path / "network.pth"
  torch.save({"fc.bias": torch.ones(2)}, kind)
  for arguments, words in (
    ((), "found none"),
    ((tmp_path / "none.pth", tmp_path / "a"), "none.pth"),
    ((cut, tmp_path / "b"), "cut.pth"),
    ((kind, tmp_path / "c"), "not an official MILAN checkpoint"),
    ((CHECKPOINT, ROOT / "tests"), "not empty"),
  ):
    found = run_here("convert", *arguments)
    assert found.returncode == 2, found.stderr
    assert "Traceback" not in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
    assert words in found.stderr
