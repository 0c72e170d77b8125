import os
import shutil

import numpy as np
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.store import pretrained as captioners
from milan_jax._src.store import release
from milan_jax._src.store.pretrained import load_milan, pretrained
from tests.helpers.recorded import CHECKPOINT
from tests.weights.http_server import Behavior, serve

KEY = "base"
PATH = "/models/milan-base.pth"


@pytest.fixture(scope="session")
def data():
  return CHECKPOINT.read_bytes()


@pytest.fixture
def behavior(data):
  return Behavior({PATH: data})


@pytest.fixture(autouse=True)
def environment(behavior, tmp_path, monkeypatch):
  """The official path on a local server, and a cache of the test's own."""
  monkeypatch.setenv("no_proxy", "127.0.0.1")
  monkeypatch.setenv("MILAN_JAX_CACHE", str(tmp_path / "cache"))
  with serve(behavior) as host:
    monkeypatch.setenv("MILAN_JAX_HOST", host + "/")
    yield


def names(folder):
  return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_a_key_is_fetched_converted_and_kept(behavior, data, tmp_path):
  behavior.cut_after, behavior.cuts = len(data) // 2, 1
  seen = []
  made = pretrained(KEY, progress=lambda done, total: seen.append((done, total)))
  assert seen[-1] == (len(data), len(data))
  assert [path for path, _ in behavior.asked] == [PATH, PATH]
  cache = tmp_path / "cache"
  assert names(cache) == ["base"]  # the checkpoint is gone
  assert names(cache / "base") == ["milan.json", "milan.safetensors"]
  assert made.encoder.backbone == "resnet18" and len(made.vocabulary) == 424
  assert made.card["source"]["name"] == "milan-base.pth"

  behavior.asked.clear()
  os.environ["MILAN_JAX_HOST"] = "http://127.0.0.1:1"  # nobody is there
  for again in (pretrained(KEY), load_milan(KEY), load_milan(cache / "base")):
    np.testing.assert_array_equal(
      again.params["captioner"]["gate"]["kernel"],
      made.params["captioner"]["gate"]["kernel"],
    )
  assert behavior.asked == []

  # A release that was damaged is named, with what to do.
  tensors = cache / "base" / "milan.safetensors"
  tensors.write_bytes(tensors.read_bytes()[:-1])
  with pytest.raises(
    UserError, match=r"damaged .* Remove .*base, so that it is made again"
  ):
    load_milan(KEY)


def test_a_checkpoint_put_into_the_cache_by_hand_is_used(behavior, tmp_path, capsys):
  behavior.files.clear()
  with pytest.raises(UserError, match=r"milan-base\.pth returned 404"):
    pretrained(KEY)
  cache = tmp_path / "elsewhere"
  cache.mkdir()
  shutil.copy(CHECKPOINT, cache / "milan-base.pth")
  assert pretrained(KEY, cache=cache).encoder.backbone == "resnet18"
  assert names(cache) == ["base"]


def test_the_host_can_be_given_and_what_is_no_checkpoint_is_kept(behavior, tmp_path):
  behavior.files[PATH] = b"<html>not this way</html>"
  message = (
    r"not a torch file: it begins with b'<html>.* Remove .*milan-base\.pth, so that"
  )
  with serve(behavior) as host, pytest.raises(UserError, match=message):
    pretrained(KEY, host=host)
  assert names(tmp_path / "cache") == ["milan-base.pth"]


@pytest.mark.parametrize(
  ("key", "message"),
  [
    ("base+clip", "CLIP, which is not supported: use base"),
    ("places+clip", r"'places\+clip'.*Did you mean places365"),
    (
      "bases",
      r"there is no captioner 'bases'\. Did you mean base.*\? Expected .*biggan",
    ),
    ("imagenet1k", "Did you mean imagenet"),
    ("", "there is no captioner ''"),
  ],
)
def test_an_unknown_key_names_the_near_ones(key, message, behavior):
  with pytest.raises(UserError, match=message):
    pretrained(key)
  assert behavior.asked == []


def test_every_official_key_has_its_own_address(behavior):
  behavior.files.clear()
  for key in captioners.OFFICIAL_KEYS:
    with pytest.raises(UserError, match="404"):
      pretrained(key)
  asked = " ".join(path for path, _ in behavior.asked)
  assert asked.replace("/models/milan-", "").replace(".pth", "") == (
    "base cls gen imagenet places365 alexnet resnet152 biggan"
  )
  assert captioners.OFFICIAL_HOST == "https://milan.csail.mit.edu"


def test_names_in_the_package_and_folders_are_found(tiny, tmp_path, monkeypatch):
  folder = tmp_path / "package" / "released" / "mine"
  release.save_release(tiny, folder)
  monkeypatch.setattr(
    captioners.importlib.resources, "files", lambda _: tmp_path / "package"
  )
  assert captioners.packaged() == {"mine": folder}
  assert load_milan("mine").vocabulary == tiny.vocabulary
  with pytest.raises(UserError, match=r"'mind'\. Did you mean mine"):
    load_milan("mind")
  # A folder goes before a name, so what one has converted oneself is never passed over.
  monkeypatch.chdir(tmp_path)
  shutil.copytree(folder, tmp_path / "biggan")
  assert load_milan("biggan").vocabulary == tiny.vocabulary


def test_paths_that_are_no_release(tmp_path):
  with pytest.raises(
    UserError, match="convert an official checkpoint with 'milan-conv"
  ):
    load_milan(CHECKPOINT)
  with pytest.raises(UserError, match=r"milan\.json is missing"):
    load_milan(tmp_path)
  with pytest.raises(UserError, match=r"nowhere/milan\.json is missing"):
    load_milan(tmp_path / "nowhere")


def test_a_cache_that_cannot_be_written(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match=r"cannot be written .* set \$MILAN_JAX_CACHE"):
    pretrained(KEY, cache=tmp_path / "file")
