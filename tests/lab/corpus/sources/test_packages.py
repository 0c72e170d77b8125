import hashlib
import json
import shutil

import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.lab.corpus.sources import packages
from milan_jax._src.lab.corpus.sources.packages import fetch_packages, read_license
from tests.lab.corpus.sources import fakes


@pytest.fixture
def programs(tmp_path, monkeypatch):
  """A folder of programs before all others, and the calls they noted."""
  folder = tmp_path / "bin"
  fakes.write_program(folder / "apt-get", fakes.APT)
  fakes.write_program(folder / "dpkg-deb", fakes.DPKG)
  calls = tmp_path / "calls"
  calls.touch()
  monkeypatch.setenv("CALLS", str(calls))
  monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
  return folder, lambda: calls.read_text().splitlines()


def test_packages_are_fetched_once_and_again_only_where_missing(programs, tmp_path):
  _, calls = programs
  cache = tmp_path / "cache"
  steps = []
  found = fetch_packages(
    ["one", "two"], cache, progress=lambda *step: steps.append(step)
  )
  assert list(found) == ["one", "two"]
  assert found["one"].version == "1:1.2-3"
  assert found["one"].sha256 == hashlib.sha256(b"archive of one\n").hexdigest()
  assert found["one"].license == "see copyright"
  unpacked = found["two"].folder / "usr/share/thing/file"
  assert unpacked.read_text() == "archive of two\n"
  assert steps == [
    ("fetching one", 0, 2),
    ("fetching two", 1, 2),
    ("fetching packages", 2, 2),
  ]
  # No archive, and nothing half done, is left.
  assert sorted(path.name for path in cache.iterdir()) == ["one", "two"]
  before = calls()
  assert before.count("apt-get download one") == 1

  assert fetch_packages(["one", "two"], cache) == found
  assert calls() == before
  shutil.rmtree(cache / "one")
  assert fetch_packages(["one", "two"], cache) == found
  assert calls()[len(before) :][0] == "apt-get download one"
  assert "apt-get download two" not in calls()[len(before) :]


def test_what_a_killed_run_left_is_thrown_away(programs, tmp_path):
  cache = tmp_path / "cache"
  for left in (".one.partial", ".one.download"):
    (cache / left).mkdir(parents=True)
    (cache / left / "one_0.9_all.deb").write_text("half")
  (found,) = fetch_packages(["one"], cache).values()
  assert found.version == "1:1.2-3"
  assert not list(found.folder.glob("*.deb"))
  assert [path.name for path in cache.iterdir()] == ["one"]


def test_without_apt_the_user_is_told_what_to_do_and_can(
  programs, tmp_path, monkeypatch
):
  _, calls = programs
  empty = tmp_path / "empty"
  empty.mkdir()
  monkeypatch.setenv("PATH", str(empty))
  cache = tmp_path / "cache"
  with pytest.raises(UserError, match="apt-get is needed for") as error:
    fetch_packages(["one"], cache)
  assert f"dpkg-deb -x one_*.deb {cache / 'one'}" in str(error.value)
  fakes.write_program(empty / "apt-get", fakes.APT)
  with pytest.raises(UserError, match="dpkg-deb is needed for"):
    fetch_packages(["one"], cache)

  texts = {"usr/share/b": b"two", "usr/a": b"one"}
  for name, content in texts.items():
    (cache / "one" / name).parent.mkdir(parents=True, exist_ok=True)
    (cache / "one" / name).write_bytes(content)
  (found,) = fetch_packages(["one"], cache).values()
  assert (found.version, found.folder) == ("unknown", cache / "one")
  listing = "".join(
    f"{hashlib.sha256(texts[name]).hexdigest()}  {name}\n" for name in sorted(texts)
  )
  assert found.sha256 == hashlib.sha256(listing.encode()).hexdigest()
  assert fetch_packages(["one"], cache)["one"] == found
  (cache / "one/usr/a").write_bytes(b"other")
  assert fetch_packages(["one"], cache)["one"].sha256 != found.sha256
  assert calls() == []


@pytest.mark.parametrize("program", ["apt-get", "dpkg-deb"])
def test_a_failing_program_is_quoted_and_leaves_nothing(programs, tmp_path, program):
  folder, _ = programs
  text = "#!/bin/sh\necho W: first >&2\necho 'E: Unable to locate it' >&2\nexit 100\n"
  fakes.write_program(folder / program, text)
  with pytest.raises(UserError, match=r"failed \(E: Unable to locate it\)") as error:
    fetch_packages(["one"], tmp_path / "cache")
  assert ("apt-get update" in str(error.value)) == (program == "apt-get")
  assert list((tmp_path / "cache").iterdir()) == []


def test_an_apt_that_leaves_no_archive_is_an_error(programs, tmp_path):
  fakes.write_program(programs[0] / "apt-get", "#!/bin/sh\n")
  with pytest.raises(UserError, match="left 0 archives, expected one"):
    fetch_packages(["one"], tmp_path / "cache")


def test_wrong_folders_and_names_are_errors(programs, tmp_path):
  (tmp_path / "cache/one").mkdir(parents=True)
  with pytest.raises(UserError, match="holds no unpacked package"):
    fetch_packages(["one"], tmp_path / "cache")
  with pytest.raises(UserError, match="not a name of a Debian package"):
    fetch_packages(["--help"], tmp_path / "cache")
  fetch_packages(["two"], tmp_path / "cache")
  marker = tmp_path / "cache/two" / packages.MARKER
  for damaged in ("{", json.dumps({"version": "1"}), "[]"):
    marker.write_text(damaged)
    with pytest.raises(UserError, match="is damaged: remove"):
      fetch_packages(["two"], tmp_path / "cache")


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    (
      "Format: https://...\n\nFiles: *\nLicense: GPL-2+\n text\n\nFiles: a\n"
      "License: CC-BY-3.0\n\nLicense: GPL-2+\n long text\nLicense:\n",
      "GPL-2+, CC-BY-3.0",
    ),
    ("Made by me.\n\n It is under the GNU General Public License.\n", None),
    ("Format: x\nNo field. BSD style.\n", "No field. BSD style."),
    ("Made by me, submitted to all.\n", "see copyright"),
  ],
)
def test_licences_are_read_from_the_copyright_file(tmp_path, text, expected):
  path = tmp_path / "usr/share/doc/thing/copyright"
  path.parent.mkdir(parents=True)
  path.write_text(text)
  expected = expected or "It is under the GNU General Public License."
  assert read_license(tmp_path, "thing") == expected
