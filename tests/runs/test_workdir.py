"""Run directories."""

import json

import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.runs.workdir import open_workdir


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
  with pytest.raises(UserError, match="not a milan-jax run"):
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


@pytest.mark.parametrize(
  "text",
  [
    "",
    "[]",
    '{"config": 1}',
    '{"config": {}, "inputs": []}',
    '{"config": {}, "inputs": {"answers": [1]}}',
    '{"config": {}, "inputs": {"answers": {"a": ["x"]}}}',
    '{"config": {}, "inputs": {"answers": {"a": {"b": 1}}}}',
    '{"config": {}, "inputs": {"answers": {"a": [[1]]}}}',
    "\udcff",
  ],
)
def test_a_damaged_configuration(text, tmp_path):
  path = tmp_path / "config.json"
  path.write_bytes(text.encode(errors="surrogateescape"))
  with pytest.raises(UserError, match=r"config.json is damaged .*name another one"):
    open_workdir(tmp_path, {})
  assert path.read_bytes() == text.encode(errors="surrogateescape")


def test_what_a_killed_run_leaves_is_no_run(tmp_path):
  for name in (".lock", ".config.partial.json"):
    (tmp_path / name).write_text("{")
  open_workdir(tmp_path, {"seed": 0})
  assert json.loads((tmp_path / "config.json").read_text())["config"] == {"seed": 0}


def test_paths_are_noted_and_not_compared(tmp_path):
  open_workdir(tmp_path / "run", {"images": "a", "k": 1}, paths=("images",))
  open_workdir(tmp_path / "run", {"images": "./a", "k": 1}, paths=("images",))
  with pytest.raises(UserError, match="k is 1 there and 2 here"):
    open_workdir(tmp_path / "run", {"images": "a", "k": 2}, paths=("images",))
