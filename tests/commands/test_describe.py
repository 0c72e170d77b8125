"""`describe.py` as a user runs it: whole, killed at every step, and with bad input."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.helpers import site_data
from tests.helpers.commands import run_here
from tests.helpers.killed_describe import MOMENTS

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _command(*flags):
  return [sys.executable, str(ROOT / "describe.py"), *map(str, flags)]


def _run(*flags, **environment):
  return subprocess.run(
    _command(*flags),
    cwd=ROOT,
    env={**os.environ, **environment},
    capture_output=True,
    text=True,
  )


def _here(*flags):
  return run_here("describe", *flags)


@pytest.fixture(scope="module")
def flags(captioner, photos):
  return (
    "--model=tests.helpers.tiny_network:build",
    "--layers=0,2",
    f"--images={photos}",
    f"--milan={captioner}",
    "--k=4",
    "--probe_batch_size=4",
    "--save_every=0",
    "--batch_size=2",
  )


@pytest.fixture(scope="module")
def whole(flags, tmp_path_factory):
  """A run that nothing interrupts."""
  workdir = tmp_path_factory.mktemp("whole") / "run"
  found = _run(*flags, f"--workdir={workdir}")
  assert found.returncode == 0, found.stderr
  return workdir


def _bytes(workdir):
  return {
    str(path.relative_to(workdir)): path.read_bytes()
    for path in sorted(workdir.rglob("*"))
    if path.is_file()
  }


def test_a_run_writes_descriptions_exemplars_and_a_page(whole):
  with (whole / "descriptions.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert [(row["layer"], row["unit"]) for row in rows] == [
    *(("0", str(i)) for i in range(6)),
    *(("2", str(i)) for i in range(10)),
  ]
  for row in rows:
    ranked = float(row["log_prob"]) - 0.2 * float(row["lm_log_prob"])
    assert float(row["score"]) == pytest.approx(ranked, abs=1e-4)
  assert "site/data/meta.js" in (whole / "index.html").read_text()
  assert site_data.facts(whole)["units"] == 16
  catalog = json.loads((whole / "catalog.json").read_text())
  assert len(catalog["units"]) == 16
  assert "milan-jax" in json.loads((whole / "config.json").read_text())["versions"]
  assert not list(whole.glob("*.partial*"))


def test_killed_at_every_step_it_gives_the_same_bytes(flags, whole, tmp_path):
  workdir = tmp_path / "run"
  for moment, reached in MOMENTS.items():
    found = subprocess.run(
      [
        *(sys.executable, "-m", "tests.helpers.killed_describe", moment),
        *(*flags, f"--workdir={workdir}"),
      ],
      cwd=ROOT,
      capture_output=True,
      text=True,
    )
    assert found.returncode == -signal.SIGKILL, f"{moment}: {found.stderr}"
    assert reached(workdir)
    assert not (workdir / "descriptions.csv").exists()
  found = _here(*flags, f"--workdir={workdir}")
  assert found.returncode == 0, found.stderr
  assert _bytes(workdir) == _bytes(whole)


def test_a_finished_run_does_nothing_again(flags, whole):
  before = _bytes(whole)
  assert _here(*flags, f"--workdir={whole}").returncode == 0
  assert _bytes(whole) == before


def _refused(found, *words):
  assert found.returncode == 2, found.stderr
  assert "Traceback" not in found.stderr
  message = found.stderr.strip().splitlines()[-1]
  assert message.startswith("milan-describe: ")
  for word in words:
    assert word in message


def test_a_workdir_of_another_configuration(flags, whole):
  before = _bytes(whole)
  found = _here(*flags, f"--workdir={whole}", "--beam_size=3")
  _refused(found, "beam_size is not set there and 3 here")
  assert _bytes(whole) == before


@pytest.mark.parametrize(
  ("changed", "words"),
  [
    (("--layers=layer1",), ("layer1", "--list_layers")),
    (("--images=/nowhere",), ("/nowhere",)),
    (("--milan=bas",), ("base",)),
    (("--strategy=best",), ("rerank", "best")),
    (("--units=99",), ("99",)),
    (("--model=efficientnet-lite7",), ("efficientnet-lite0",)),
    (("--model=tests.nothing:build",), ("tests.nothing",)),
    (("--beamsize=3",), ("beam_size",)),
    (("surplus",), ("surplus",)),
  ],
  ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_bad_options(flags, tmp_path, changed, words):
  found = _here(*flags, f"--workdir={tmp_path / 'run'}", *changed)
  _refused(found, *words)
  # No run is begun: the corrected command may name the same folder.
  assert not (tmp_path / "run").exists()


def test_an_empty_folder_and_unreadable_photographs(flags, tmp_path):
  folder = tmp_path / "photos"
  folder.mkdir()
  images = f"--images={folder}"
  _refused(_here(*flags, images, f"--workdir={tmp_path / 'a'}"), str(folder))
  rng = np.random.default_rng(0)
  for i in range(6):
    pixels = rng.integers(0, 256, (256, 300, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / f"{i}.png")
  (folder / "2.png").write_bytes(b"no picture")
  found = run_here(
    "describe", *flags, images, f"--workdir={tmp_path / 'b'}", "--nopage"
  )
  assert found.returncode == 0, found.stderr
  assert "skipped 2.png" in found.stderr
  ids = np.load(tmp_path / "b" / "exemplars" / "image_ids.npy")
  assert 2 not in ids
  for i in range(6):
    (folder / f"{i}.png").write_bytes(b"")
  _refused(
    _here(*flags, images, f"--workdir={tmp_path / 'c'}"),
    "None of the 6 images",
  )


def test_exemplars_of_the_wrong_shape(captioner, tmp_path):
  layer = tmp_path / "exemplars" / "conv1"
  layer.mkdir(parents=True)
  np.save(layer / "images.npy", np.zeros((2, 3, 3, 32, 32), np.uint8))
  np.save(layer / "masks.npy", np.zeros((2, 3, 1, 16, 16), np.uint8))
  found = _here(
    f"--exemplars={tmp_path / 'exemplars'}",
    f"--milan={captioner}",
    f"--workdir={tmp_path / 'run'}",
  )
  _refused(found, "masks.npy")
  assert not (tmp_path / "run").exists()


def test_a_truncated_captioner(captioner, photos, tmp_path):
  broken = tmp_path / "captioner"
  broken.mkdir()
  for path in captioner.iterdir():
    data = path.read_bytes()
    cut = len(data) // 2 if path.suffix == ".safetensors" else len(data)
    (broken / path.name).write_bytes(data[:cut])
  found = _here(
    *(f"--milan={broken}", f"--images={photos}", f"--workdir={tmp_path / 'run'}"),
  )
  _refused(found, "milan.safetensors")
