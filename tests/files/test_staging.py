"""Folders that are written completely or not at all, by one process at a time."""

import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.files.staging import staged_folder


def _names(folder):
  return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_when_the_block_ends(tmp_path):
  folder = tmp_path / "deep" / "set"
  with staged_folder(folder) as staging:
    (staging / "a").write_text("1")
    assert not folder.exists()
  assert _names(folder) == ["a"] and _names(folder.parent) == ["set"]
  with pytest.raises(UserError, match="already exists"), staged_folder(folder):
    pass


def test_a_second_writer_of_one_folder_is_refused_and_harms_nothing(tmp_path):
  # A lock of this kind excludes another open file, of this process or another.
  folder = tmp_path / "set"
  with staged_folder(folder) as staging:
    (staging / "a").write_text("1")
    with pytest.raises(UserError, match="by another process"), staged_folder(folder):
      pass
    assert (staging / "a").read_text() == "1"
  assert _names(folder) == ["a"] and _names(tmp_path) == ["set"]


def test_what_a_killed_writer_left_is_cleared(tmp_path):
  left = tmp_path / ".set.partial"
  (left / "inner").mkdir(parents=True)
  (left / "inner" / "old").write_text("half")
  (left / "other").write_text("half")
  with staged_folder(tmp_path / "set") as staging:
    assert not _names(staging)
    (staging / "a").write_text("1")
  assert _names(tmp_path / "set") == ["a"] and _names(tmp_path) == ["set"]


def test_an_error_leaves_nothing(tmp_path):
  with pytest.raises(KeyboardInterrupt), staged_folder(tmp_path / "set") as staging:
    (staging / "a").write_text("half")
    raise KeyboardInterrupt
  assert not _names(tmp_path)
  with staged_folder(tmp_path / "set"):  # the lock has ended
    pass


def test_a_folder_that_another_writer_finishes_first_stays(tmp_path, monkeypatch):
  folder = tmp_path / "set"
  exists, asked = type(folder).exists, []

  def finished_after_the_first_look(self, **given):
    if self == folder:
      asked.append(1)
      if len(asked) == 2:
        folder.mkdir()
        (folder / "theirs").write_text("1")
    return exists(self, **given)

  monkeypatch.setattr(type(folder), "exists", finished_after_the_first_look)
  with pytest.raises(UserError, match="already exists"), staged_folder(folder):
    pass
  assert _names(folder) == ["theirs"] and _names(tmp_path) == ["set"]
