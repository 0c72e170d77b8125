"""`milan-convert` and `--parity`: the outputs of the original from its own files."""

import csv
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.helpers.commands import run_here

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _convert(*arguments):
  command = pathlib.Path(sys.executable).parent / "milan-convert"
  return subprocess.run(
    [str(command), *map(str, arguments)], capture_output=True, text=True
  )


@pytest.fixture(scope="module")
def released(reference, tmp_path_factory):
  folder = tmp_path_factory.mktemp("converted") / "tiny"
  found = _convert(reference / "decoder-tiny.pth", folder)
  assert found.returncode == 0, found.stderr
  return folder


@pytest.mark.usefixtures("optimized")
def test_exemplars_and_checkpoint_of_the_original_give_its_descriptions(
  released, outputs, strings, tmp_path
):
  layer = tmp_path / "exemplars" / "layer4"
  layer.mkdir(parents=True)
  np.save(layer / "images.npy", outputs["images"])
  np.save(layer / "masks.npy", outputs["masks"])
  found = subprocess.run(
    [
      *(sys.executable, str(ROOT / "describe.py"), "--parity", "--nopage"),
      *("--strategy=rerank", "--beam_size=50", "--temperature=0.2"),
      f"--exemplars={tmp_path / 'exemplars'}",
      f"--milan={released}",
      f"--workdir={tmp_path / 'run'}",
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert found.returncode == 0, found.stderr
  with (tmp_path / "run" / "descriptions.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert [row["description"] for row in rows] == strings["rerank50/captions"]
  scores = [float(row["score"]) for row in rows]
  np.testing.assert_allclose(scores, outputs["rerank50/scores"], atol=1e-4)
  features = np.load(tmp_path / "run" / "features" / "0.npy")
  np.testing.assert_allclose(features, outputs["features"], atol=5e-5)


def test_bad_arguments(released, reference, tmp_path):
  cut = tmp_path / "cut.pth"
  cut.write_bytes((reference / "decoder-tiny.pth").read_bytes()[:100_000])
  kind = reference / "exemplars" / "tiny-cnn.pth"
  for arguments, words in (
    ((), "found none"),
    ((tmp_path / "none.pth", tmp_path / "a"), "none.pth"),
    ((cut, tmp_path / "b"), "cut.pth"),
    ((kind, tmp_path / "c"), "no official MILAN checkpoint"),
    ((reference / "decoder-tiny.pth", ROOT / "tests"), "not empty"),
  ):
    found = run_here("convert", *arguments)
    assert found.returncode == 2, found.stderr
    assert "Traceback" not in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
    assert words in found.stderr
