"""Run directories."""

import json

import pytest

from milan_jax.errors import UserError
from milan_jax.pipeline.workdir import open_workdir


def test_a_run_goes_on_with_the_same_configuration_only(tmp_path):
  folder = tmp_path / "run"
  open_workdir(folder, {"seed": 0, "model": "a"})
  before = (folder / "config.json").read_bytes()
  assert json.loads(before)["config"] == {"seed": 0, "model": "a"}
  open_workdir(folder, {"model": "a", "seed": 0})
  with pytest.raises(UserError, match=r"model is 'a' there and 'b' here"):
    open_workdir(folder, {"seed": 0, "model": "b"})
  assert (folder / "config.json").read_bytes() == before


def test_a_folder_of_something_else_is_left_alone(tmp_path):
  (tmp_path / "thesis.tex").write_text("x")
  with pytest.raises(UserError, match="no run of ours"):
    open_workdir(tmp_path, {})
  assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_and_a_damaged_run(tmp_path):
  file = tmp_path / "file"
  file.write_text("")
  with pytest.raises(UserError, match="is a file"):
    open_workdir(file, {})
  run = tmp_path / "run"
  run.mkdir()
  (run / "config.json").write_text("{")
  with pytest.raises(UserError, match="damaged"):
    open_workdir(run, {})
