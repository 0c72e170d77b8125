"""The script that checks a GPU machine, as far as a CPU can tell."""

import csv
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "benchmarks" / "on_device.sh"
FIELDS = ("layer", "unit", "description", "score", "margin", "sign")
CPU = [
  ("conv", 0, "red dots", -3.0, 0.5, "on"),
  ("conv", 0, "blue edges", -4.0, 0.1, "off"),
  ("conv", 1, "dogs", -2.5, 0.001, "on"),
  ("fc", 0, "cats", "", "", "on"),  # a dead unit
]


def _compare(folder, expected, found, *flags):
  for name, rows in (("cpu.csv", expected), ("gpu.csv", found)):
    with (folder / name).open("w", newline="") as file:
      csv.writer(file).writerows([FIELDS, *rows])
  names = [str(folder / name) for name in ("cpu.csv", "gpu.csv", "found.json")]
  done = subprocess.run(
    [
      *(sys.executable, ROOT / "benchmarks" / "compare_descriptions.py"),
      *(*names[:2], "--json", names[2], *flags),
    ],
    capture_output=True,
    text=True,
  )
  assert not done.stderr
  return done.returncode, json.loads((folder / "found.json").read_text())


def test_equal_runs_are_equal(tmp_path):
  code, found = _compare(tmp_path, CPU, CPU)
  assert code == 0
  assert (found["units"], found["same"], found["different"]) == (4, 4, [])
  assert found["largest_score_difference"] == 0.0


def test_what_differs_is_named(tmp_path):
  other = [
    ("conv", 0, "red dots", -3.00005, 0.5, "on"),
    ("conv", 0, "blue edges", -4.005, 0.1, "off"),
    ("conv", 1, "puppies", -2.5, 0.001, "on"),
    CPU[3],
  ]
  code, found = _compare(tmp_path, CPU, other)
  assert code == 1 and found["same"] == 3
  assert found["largest_score_difference"] == pytest.approx(0.005)
  assert found["unit_of_largest_difference"] == ["conv", "0", "off"]
  assert found["above_1e-4"] == 1
  assert found["different"] == [
    {
      "unit": ["conv", "1", "on"],
      "expected": "dogs",
      "found": "puppies",
      "expected_margin": "0.001",
    }
  ]
  assert _compare(tmp_path, CPU, other, "--min_same=0.75")[0] == 0
  flags = ("--min_same=0.75", "--max_difference=1e-3")
  assert _compare(tmp_path, CPU, other, *flags)[0] == 1


def test_units_that_are_missing_or_added_are_counted(tmp_path):
  code, found = _compare(tmp_path, CPU, [*CPU[:3], ("new", 9, "x", -1.0, 1.0, "on")])
  assert (code, found["missing"], found["added"]) == (1, 1, 1)


def _script(*arguments, **environment):
  return subprocess.run(
    [SCRIPT, *map(str, arguments)],
    env=os.environ | {"PYTHON": sys.executable} | environment,
    capture_output=True,
    text=True,
  )


def test_without_its_arguments_it_shows_how_it_is_called():
  found = _script()
  assert found.returncode == 2 and not found.stdout
  assert "benchmarks/on_device.sh WHEELS CPU_DESCRIPTIONS OUT" in found.stderr


def test_it_lists_what_it_installs():
  lines = _script("requirements").stdout.splitlines()
  assert [one for one in lines if one.startswith("jax>=")]
  assert [one for one in lines if one.startswith("pytest>=")]
  assert not [one for one in lines if one.startswith("milan-jax")]


def test_a_part_that_fails_is_reported_and_does_not_stop_the_others(tmp_path):
  pytest.importorskip("pip")  # an environment of uv has none
  (tmp_path / "wheels").mkdir()
  (tmp_path / "cpu.csv").touch()
  out = tmp_path / "out"
  found = _script(
    *(tmp_path / "wheels", tmp_path / "cpu.csv", out), PARTS="install compare"
  )
  # What it installs is there, so no wheel is needed; there is no run to compare.
  summary = json.loads((out / "summary.json").read_text())
  codes = {part["part"]: part["code"] for part in summary["parts"]}
  assert codes == {"install": 0, "compare": 1}, found.stdout + found.stderr
  assert found.returncode == 1
  assert "== install: exit code 0" in found.stdout


def test_no_part_starts_without_time_and_another_call_adds_to_the_first(tmp_path):
  (tmp_path / "cpu.csv").touch()
  out = tmp_path / "out"
  for name in ("suite", "compare", "suite"):
    found = _script(tmp_path, tmp_path / "cpu.csv", out, BUDGET="0", PARTS=name)
    assert found.returncode == 1
  parts = json.loads((out / "summary.json").read_text())["parts"]
  expected = [
    {"part": name, "seconds": 0, "code": None} for name in ("suite", "compare")
  ]
  assert parts == expected


def test_without_a_gpu_it_measures_nothing(tmp_path):
  (tmp_path / "cpu.csv").touch()
  out = tmp_path / "out"
  flags = {"PARTS": "devices compare", "JAX_PLATFORMS": "cpu", "SMALL": ""}
  found = _script(tmp_path, tmp_path / "cpu.csv", out, **flags)
  assert found.returncode == 1
  (part,) = json.loads((out / "summary.json").read_text())["parts"]
  assert (part["part"], part["code"]) == ("devices", 1)
  assert "JAX finds no GPU here" in found.stdout
