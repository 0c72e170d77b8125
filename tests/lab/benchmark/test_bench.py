"""`milan-bench` as a user runs it, on small sizes, and with bad input."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.lab.benchmark import driver, plot
from milan_jax._src.lab.benchmark import table as report
from milan_jax._src.lab.benchmark.spec import Spec
from milan_jax._src.store.release import save_release
from tests.helpers.commands import run_here

ROOT = pathlib.Path(__file__).resolve().parents[3]


def _run(*flags):
  return subprocess.run(
    [sys.executable, str(ROOT / "benchmarks" / "bench_decode.py"), *map(str, flags)],
    cwd=ROOT,
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
  )


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
  folder = tmp_path_factory.mktemp("bench")
  sizes = ("--vocabs=200", "--hidden_size=32", "--batches=3", "--beams=4")
  printed, rows = [], []
  for flags in (
    ("--dtypes=float32", "--devices=2", "--against=textbook,hoisted,jax_beam"),
    ("--dtypes=bfloat16", "--devices=1", "--against=textbook,jax_beam"),
  ):
    found = _run(
      *(*sizes, "--lengths=5", "--strategies=rerank", *flags, "--rounds=1"),
      *(f"--json={folder / 'rows.json'}", f"--plot={folder / 'plot.png'}"),
    )
    assert found.returncode == 0, found.stderr
    printed.append(found.stdout)
    rows += json.loads((folder / "rows.json").read_text())
  (folder / "rows.json").write_text(json.dumps(rows))
  return folder, printed


def test_each_configuration_has_a_row(measured):
  rows = json.loads((measured[0] / "rows.json").read_text())
  found = [(row["dtype"], row["devices"]) for row in rows]
  assert found == [("float32", 2), ("bfloat16", 1)]
  for row in rows:
    assert row["units_per_s"] > 0 and row["compile_s"] > 0.1
    assert row["latency_ms"] == pytest.approx(1000 * row["batch"] / row["units_per_s"])
    assert row["machine_device"] and row["machine_flags"] is not None
    others = ["textbook", "jax_beam"]
    assert row["jax_beam_dtype"] == row["dtype"] and row["jax_beam_compile_s"] > 0.1
    if row["dtype"] == "float32":
      others.append("hoisted")
      assert row["hoisted_dtype"] == "float32" and row["hoisted_device"] == "cpu"
    for other in others:
      ratio = row["units_per_s"] / row[f"{other}_units_per_s"]
      assert row[f"ratio_to_{other}"] == pytest.approx(ratio)
    if row["dtype"] == "float32":
      assert row["equal_captions"] == 1.0
      for other in others:
        assert row[f"{other}_mean_length"] == row["mean_length"]
      assert 1 <= row["mean_length"] <= row["length"]
      assert row["largest_score_difference"] < 1e-4
    assert 0 < row["share_of_peak"] < 2
    assert row["gflop_per_unit"] <= row["computed_gflop_per_unit"]
    assert 0 < row["peak_memory_mb"] < 2000


def test_the_table_and_the_plot_show_them(measured):
  folder, printed = measured
  for text in printed:
    assert text.count("\n") == 2 + 1
    assert "x textbook" in text and "rerank" in text
  pixels = np.asarray(Image.open(folder / "plot.png").convert("RGB"))
  assert min(pixels.shape[:2]) > 300
  assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20


def test_on_a_gpu_each_contender_ends_before_the_next_starts(monkeypatch, tmp_path):
  calls = []

  class Process:
    prepared: ClassVar[dict] = {}

    def __init__(self, spec):
      self.spec = spec
      calls.append(("start", spec.contender))

    def ask(self, do, path=None):
      calls.append((do, self.spec.contender))
      if path is not None:
        np.savez(path, tokens=[[1]], scores=[0.0])
      return {"seconds": 1.0}

    def end(self):
      calls.append(("end", self.spec.contender))

  monkeypatch.setattr(driver, "_Process", Process)
  specs = [
    Spec(name, "", "", "greedy", 1, 1, 1, "float32", 1, 1) for name in ("ours", "other")
  ]
  outcomes = driver.race(specs, rounds=2, folder=tmp_path, together=False)
  assert [outcome.spec for outcome in outcomes] == specs
  steps = ("start", "run", "run", "results", "end")
  assert calls == [(step, name) for name in ("ours", "other") for step in steps]


def test_two_runs_are_compared(measured, tmp_path):
  folder, _ = measured
  rows = json.loads((folder / "rows.json").read_text())
  rows.append(rows[0] | {"batch": 64})
  earlier = [row | {"units_per_s": row["units_per_s"] / 2} for row in rows[1:]]
  earlier[0]["machine_processor"] = "a slower one"
  lines = report.compare(rows, earlier).splitlines()
  assert len(lines) == len(rows)
  assert lines[0].endswith("not in the earlier run")
  assert "2.00 x (another machine: a slower one)" in lines[1]
  assert all(line.endswith("2.00 x") for line in lines[2:])


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (("--strategies=best",), "--strategies: expected some of greedy, beam, rerank"),
    (("--batches=0",), "--batches: expected whole numbers from 1 on"),
    (("--beams=many",), "--beams: expected whole numbers"),
    (("--dtypes=float8",), "--dtypes: expected some of"),
    (("--vocabs=10",), "--vocabs: expected 64 or more"),
    (("--against=jax",), "--against: expected some of textbook, hoisted"),
    (("--compare=none.json",), "none.json cannot be read"),
    (("--compare=pyproject.toml",), "not a list of rows"),
    (("--plot=plot.pdf",), "ends in .png"),
    (("--rounds=0",), "--rounds: expected 1 or more"),
    (("--milan=starter", "--features=tests"), "holds no features"),
    (("--milan=nothing",), "there is no captioner 'nothing'"),
  ],
)
def test_bad_input_is_said_plainly(flags, message):
  found = run_here("bench", *flags)
  assert found.returncode == 2
  assert message in found.stderr
  assert "Traceback" not in found.stderr


def test_what_is_missing_is_told_before_anything_is_measured(
  tiny, tmp_path, monkeypatch
):
  params = {k: v for k, v in tiny.params.items() if k != "language_model"}
  mute = dataclasses.replace(tiny, language_model=None, params=params)
  save_release(mute, tmp_path / "mute")
  found = run_here("bench", f"--milan={tmp_path / 'mute'}", "--strategies=rerank")
  assert found.returncode == 2 and "has no language model" in found.stderr
  monkeypatch.setattr(plot.importlib.util, "find_spec", lambda name: None)
  with pytest.raises(UserError, match=r"pip install 'milan-jax\[bench\]'"):
    plot.check_plot("plot.png")
