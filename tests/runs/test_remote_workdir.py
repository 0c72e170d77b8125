"""Run directories on a stand-in for an object store."""

import json
import pathlib
import shutil

import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.files import remote
from milan_jax._src.runs import remote_workdir
from milan_jax._src.runs.locks import hold
from milan_jax._src.runs.remote_workdir import RemoteWorkdir
from tests.helpers.remote_paths import StandIn

RUN = "stand-in://bucket/runs/one"


@pytest.fixture
def store(tmp_path, monkeypatch):
  """The folder behind the remote run directory."""
  StandIn.keep_in(tmp_path / "store")
  monkeypatch.setenv("MILAN_JAX_CACHE", str(tmp_path / "cache"))
  return tmp_path / "store" / "bucket" / "runs" / "one"


def _another_machine(monkeypatch, tmp_path, name):
  monkeypatch.setenv("MILAN_JAX_CACHE", str(tmp_path / name))
  return RemoteWorkdir(RUN)


def _write(folder, **files):
  for name, text in files.items():
    path = folder / name.replace("__", "/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _contents(folder):
  return {
    path.relative_to(folder).as_posix(): path.read_text()
    for path in folder.rglob("*")
    if path.is_file() and path.name != remote_workdir.MANIFEST
  }


def test_what_was_pushed_is_there_on_another_machine(store, tmp_path, monkeypatch):
  first = RemoteWorkdir(RUN)
  assert first.folder.is_relative_to(tmp_path / "cache")
  _write(first.folder, config="{}", checkpoints__captioner__3__a="3", features__0="big")
  _write(first.folder, **{".lock": "", ".x.partial.json": "half", "projected.npy": "b"})
  first.push()
  pushed = {"config": "{}", "checkpoints/captioner/3/a": "3"}
  assert _contents(store) == pushed
  shutil.rmtree(first.folder / "checkpoints/captioner/3")
  _write(first.folder, config="{1}", checkpoints__captioner__6__a="6")
  second = _another_machine(monkeypatch, tmp_path, "b")
  assert _contents(second.folder) == pushed
  first.push()
  assert _contents(store) == {"config": "{1}", "checkpoints/captioner/6/a": "6"}
  # It is ahead now of the second machine, whose copy is replaced.
  _write(second.folder, config="stale")
  assert _contents(RemoteWorkdir(RUN).folder) == _contents(store)


def test_a_push_that_is_cut_short_leaves_the_one_before(store, tmp_path, monkeypatch):
  first = RemoteWorkdir(RUN)
  _write(first.folder, checkpoints__3="3")
  first.push()
  (first.folder / "checkpoints/3").unlink()
  _write(first.folder, checkpoints__6="6", checkpoints__7="7")

  def copy_one(source, target, copied=[]):  # noqa: B006
    if copied:
      raise OSError("the network is gone")
    copied.append(target)
    return remote.copy_file(source, target)

  monkeypatch.setattr(remote_workdir, "copy_file", copy_one)
  with pytest.raises(UserError, match="the network is gone"):
    first.push()
  monkeypatch.undo()
  StandIn.keep_in(tmp_path / "store")
  second = _another_machine(monkeypatch, tmp_path, "b")
  assert _contents(second.folder) == {"checkpoints/3": "3"}
  # The first machine goes on where it was.
  monkeypatch.setenv("MILAN_JAX_CACHE", str(tmp_path / "cache"))
  again = RemoteWorkdir(RUN)
  assert set(_contents(again.folder)) == {"checkpoints/6", "checkpoints/7"}
  again.push()
  assert _contents(store) == {"checkpoints/6": "6", "checkpoints/7": "7"}


def test_a_push_that_is_cut_at_the_list_loses_nothing(store, monkeypatch):
  run = RemoteWorkdir(RUN)
  _write(run.folder, a="1", features__x="large")
  run.push()
  _write(run.folder, a="22")

  def copy(source, target):
    if target.name == remote_workdir.MANIFEST:
      raise OSError("the network is gone")
    return remote.copy_file(source, target)

  with monkeypatch.context() as cut, pytest.raises(UserError, match="network is gone"):
    cut.setattr(remote_workdir, "copy_file", copy)
    run.push()
  again = RemoteWorkdir(RUN)
  assert _contents(again.folder)["a"] == "22"
  assert (again.folder / "features" / "x").exists()
  again.push()
  assert _contents(store)["a"] == "22"


def test_a_newer_file_of_a_push_that_is_cut_is_taken(store, tmp_path, monkeypatch):
  run = RemoteWorkdir(RUN)
  _write(run.folder, losses="1", checkpoints__3="3")
  run.push()
  _write(run.folder, losses="1 2", checkpoints__4="4")

  def copy(source, target):
    if target.name == "losses":
      remote.copy_file(source, target)
      raise OSError("the network is gone")
    return remote.copy_file(source, target)

  with monkeypatch.context() as cut, pytest.raises(UserError, match="network is gone"):
    cut.setattr(remote_workdir, "copy_file", copy)
    run.push()
  second = _another_machine(monkeypatch, tmp_path, "b")
  assert _contents(second.folder) == {"losses": "1 2", "checkpoints/3": "3"}


@pytest.mark.parametrize(
  ("content", "words"),
  [("1", "expected 3 bytes, found 1 bytes"), ("1 3", "found another content")],
)
def test_a_file_that_is_not_as_listed_is_refused(
  store, tmp_path, monkeypatch, content, words
):
  run = RemoteWorkdir(RUN)
  _write(run.folder, losses="1 2", other="x")
  run.push()
  (store / "losses").write_text(content)
  with pytest.raises(UserError) as error:
    _another_machine(monkeypatch, tmp_path, "b")
  assert words in str(error.value) and "one/losses" in str(error.value)
  assert not [path for path in (tmp_path / "b").rglob("*") if path.is_file()]


def test_two_machines_at_one_number_are_told_apart(store, tmp_path, monkeypatch):
  first = RemoteWorkdir(RUN)
  _write(first.folder, a="1")
  first.push()
  second = _another_machine(monkeypatch, tmp_path, "b")
  _write(first.folder, a="of the first")
  first.push()
  _write(second.folder, a="of the second")
  second.push()
  monkeypatch.setenv("MILAN_JAX_CACHE", str(tmp_path / "cache"))
  assert _contents(RemoteWorkdir(RUN).folder) == {"a": "of the second"}


def test_a_list_of_an_earlier_version_is_read(store, tmp_path, monkeypatch):
  run = RemoteWorkdir(RUN)
  _write(run.folder, a="1")
  run.push()
  path = store / remote_workdir.MANIFEST
  path.write_text(json.dumps({"number": 1, "files": ["a"]}))
  second = _another_machine(monkeypatch, tmp_path, "b")
  assert _contents(second.folder) == {"a": "1"}
  second.push()
  assert set(json.loads(path.read_text())["files"]) == {"a"}


def test_only_changes_are_copied(store, monkeypatch):
  run = RemoteWorkdir(RUN)
  _write(run.folder, a="1", b="1")
  run.push()
  copied = []

  def copy(source, target):
    copied.append(target.name)
    return remote.copy_file(source, target)

  monkeypatch.setattr(remote_workdir, "copy_file", copy)
  _write(run.folder, b="22")
  run.push()
  # The list announces a file that is replaced.
  assert copied == [remote_workdir.MANIFEST, "b", remote_workdir.MANIFEST]
  copied.clear()
  _write(run.folder, c="3")
  run.push()
  assert copied == ["c", remote_workdir.MANIFEST]


def test_a_removed_run_begins_again(store):
  run = RemoteWorkdir(RUN)
  _write(run.folder, config="{}")
  run.push()
  shutil.rmtree(store)
  assert not RemoteWorkdir(RUN).folder.exists()


def test_a_list_that_leaves_the_folder_is_refused(store):
  store.mkdir(parents=True)
  manifest = {"number": 1, "files": ["../../outside"]}
  (store / remote_workdir.MANIFEST).write_text(json.dumps(manifest))
  with pytest.raises(UserError, match="outside"):
    RemoteWorkdir(RUN)


def test_a_local_folder_is_used_as_it_is(tmp_path):
  run = RemoteWorkdir(tmp_path / "run")
  assert run.folder == tmp_path / "run"
  run.push()
  assert not pathlib.Path(tmp_path / "run").exists()


def test_other_commands_need_a_local_folder():
  with (
    pytest.raises(UserError, match=r"workdir=gs://b/run: expected a local folder"),
    hold("gs://b/run"),
  ):
    pass
