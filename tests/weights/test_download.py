import hashlib
import json
import random
import socket

import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.weights import download as downloads
from milan_jax._src.weights.download import download
from tests.weights.http_server import Behavior, serve

DATA = random.Random(0).randbytes(300_000)
NAME = "/a/file.bin"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
  monkeypatch.setattr(downloads, "_PAUSE", 0.0)
  monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def behavior():
  return Behavior({NAME: DATA})


@pytest.fixture
def url(behavior):
  with serve(behavior) as host:
    yield host + NAME


@pytest.fixture
def path(tmp_path):
  return tmp_path / "cache" / "file.bin"


def names(path):
  return sorted(file.name for file in path.parent.iterdir())


def starts(behavior):
  return [asked and int(asked[6:-1]) for _, asked in behavior.asked]


def test_a_file_arrives_whole_with_progress_and_is_not_fetched_twice(
  url, path, behavior
):
  seen = []
  digest = hashlib.sha256(DATA).hexdigest()
  made = download(
    url,
    path,
    size=len(DATA),
    sha256=digest,
    progress=lambda done, total: seen.append((done, total)),
  )
  assert made == path and path.read_bytes() == DATA
  assert seen == sorted(seen) and seen[-1] == (len(DATA), len(DATA))
  assert names(path) == ["file.bin"]
  download(url, path)
  assert starts(behavior) == [None]


def test_a_cut_transfer_goes_on_where_it_stopped(url, path, behavior):
  behavior.cut_after, behavior.cuts = 100_000, 2
  download(url, path)
  assert path.read_bytes() == DATA
  assert starts(behavior) == [None, 100_000, 200_000]
  assert names(path) == ["file.bin"]


def test_a_later_run_goes_on_where_an_earlier_one_stopped(url, path, behavior):
  behavior.cut_after, behavior.cuts = 100_000, 1
  with pytest.raises(UserError, match=r"stopped at byte 100000 .* to resume"):
    download(url, path, retries=-1)
  assert names(path) == ["file.bin.partial", "file.bin.partial.json"]
  download(url, path)
  assert path.read_bytes() == DATA
  assert starts(behavior) == [None, 100_000]


def test_only_tries_without_a_byte_count_as_failures(url, path, behavior):
  behavior.cut_after, behavior.cuts = 20_000, -1
  download(url, path, retries=0)  # 15 cuts, each of which brought something
  assert path.read_bytes() == DATA and len(behavior.asked) == 15
  path.unlink()
  behavior.cut_after, behavior.asked = 0, []
  with pytest.raises(UserError, match="stopped at byte 0"):
    download(url, path, retries=2)
  assert len(behavior.asked) == 3


def test_a_server_that_sends_no_parts_is_asked_for_the_whole(url, path, behavior):
  behavior.ranges = False
  behavior.cut_after, behavior.cuts = 100_000, 1
  download(url, path)
  assert path.read_bytes() == DATA
  assert starts(behavior) == [None, 100_000]


@pytest.mark.parametrize("etag", ['"two"', '"one"', None])
def test_a_file_that_changed_meanwhile_starts_again(url, path, behavior, etag):
  behavior.cut_after, behavior.cuts = 100_000, 1
  with pytest.raises(UserError):
    download(url, path, retries=-1)
  other = bytes(reversed(DATA)) + b"and more"
  behavior.files[NAME], behavior.etag = other, etag
  download(url, path)
  assert path.read_bytes() == other
  assert starts(behavior) == [None, 100_000, None]


def test_a_part_of_another_address_or_of_unknown_origin_is_dropped(url, path, behavior):
  path.parent.mkdir()
  partial = path.with_name("file.bin.partial")
  partial.write_bytes(b"x" * 1000)
  download(url, path)
  assert path.read_bytes() == DATA and starts(behavior) == [None]
  path.unlink()
  partial.write_bytes(b"x" * 1000)
  note = {"url": url + "2", "size": len(DATA), "etag": '"one"', "modified": None}
  path.with_name("file.bin.partial.json").write_text(json.dumps(note))
  download(url, path)
  assert path.read_bytes() == DATA and starts(behavior) == [None, None]


def test_a_whole_part_is_only_renamed_and_a_longer_one_dropped(url, path, behavior):
  for extra, asked in ((b"", []), (b"more", [None])):
    behavior.asked.clear()
    path.parent.mkdir(exist_ok=True)
    path.with_name("file.bin.partial").write_bytes(DATA + extra)
    note = {"url": url, "size": len(DATA), "etag": '"one"', "modified": None}
    path.with_name("file.bin.partial.json").write_text(json.dumps(note))
    download(url, path)
    assert path.read_bytes() == DATA and starts(behavior) == asked
    path.unlink()


def test_a_shorter_file_than_the_part_starts_again(url, path, behavior):
  behavior.cut_after, behavior.cuts = 100_000, 1
  with pytest.raises(UserError):
    download(url, path, retries=-1)
  behavior.files[NAME] = DATA[:50_000]  # answers 416
  download(url, path)
  assert path.read_bytes() == DATA[:50_000]


# Wrong files.


def test_a_missing_file_is_said_at_once(url, path, behavior):
  with pytest.raises(UserError, match=r"file\.bin2 returned 404"):
    download(url + "2", path)
  assert len(behavior.asked) == 1 and not path.exists()


def test_an_error_of_the_server_is_tried_again(url, path, behavior):
  behavior.status = 503
  with pytest.raises(UserError, match="the server returned 503"):
    download(url, path, retries=2)
  assert len(behavior.asked) == 3


def test_a_wrong_size_is_refused_before_a_byte_is_fetched(url, path):
  with pytest.raises(UserError, match="has 300000 bytes, but should have 7"):
    download(url, path, size=7)
  assert names(path) == []


def test_a_server_that_promises_more_than_it_sends(url, path, behavior):
  behavior.claims = len(DATA) + 5
  behavior.ranges = False
  with pytest.raises(UserError, match="stopped at byte 300000"):
    download(url, path, retries=1)
  assert not path.exists()


def test_a_server_that_does_not_say_how_long_the_file_is(url, path, behavior):
  behavior.claims = -1
  with pytest.raises(UserError, match="does not report its length"):
    download(url, path)


def test_a_wrong_checksum_is_refused_and_not_kept(url, path):
  with pytest.raises(UserError, match="does not match the checksum"):
    download(url, path, sha256="0" * 64)
  assert names(path) == []


def test_a_file_that_is_there_already_is_verified(url, path, behavior):
  path.parent.mkdir()
  path.write_bytes(b"other")
  with pytest.raises(UserError, match=r"has 5 bytes, but .* should have 300000"):
    download(url, path, size=len(DATA))
  with pytest.raises(UserError, match="does not match the checksum"):
    download(url, path, sha256=hashlib.sha256(DATA).hexdigest())
  assert path.read_bytes() == b"other" and behavior.asked == []


def test_no_network_fails_at_once_and_says_what_to_do(path):
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{free.getsockname()[1]}/a.pth"
  with pytest.raises(UserError, match=rf"no connection to 127.* copy it to {path}"):
    download(url, path)
  for url in ("ftp://host/a", "file:///etc/passwd", "a.pth"):
    with pytest.raises(UserError, match="is not an http or https URL"):
      download(url, path)


def test_a_host_that_says_nothing_is_given_up(path):
  with socket.socket() as silent:
    silent.bind(("127.0.0.1", 0))
    silent.listen()
    url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.pth"
    with pytest.raises(UserError, match=r"stopped at byte 0 .*timed out"):
      download(url, path, timeout=0.05, retries=1)
