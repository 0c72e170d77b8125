"""Networks of MILANNOTATIONS by name, downloaded from a host with tiny archives."""

import hashlib
import io
import json
import stat
import zipfile

import pytest
from PIL import Image

from milan_jax._src.api import training
from milan_jax._src.errors import UserError
from milan_jax._src.options.train import DataOptions
from milan_jax._src.records import Unit
from milan_jax._src.store import milannotations_merge
from milan_jax._src.store.exemplar_sets import set_name
from milan_jax._src.store.milannotations import GROUPS, NETWORKS, networks_named
from milan_jax._src.store.milannotations_archive import MANIFEST, fetch_annotated
from milan_jax._src.store.milannotations_merge import merge_pictures
from milan_jax._src.training.annotated_sets import read_sets
from milan_jax._src.weights import download as downloads
from tests.store.fake_milannotations import (
  archive,
  files_of,
  official_host,
  write_network,
)
from tests.weights.http_server import Behavior, serve

ALEXNET = "/data/alexnet-imagenet.zip"


@pytest.fixture
def behavior():
  return Behavior(official_host())


@pytest.fixture(autouse=True)
def environment(behavior, tmp_path, monkeypatch):
  monkeypatch.setattr(downloads, "_PAUSE", 0.0)
  monkeypatch.setenv("no_proxy", "127.0.0.1")
  monkeypatch.setenv("MILAN_JAX_CACHE", str(tmp_path / "cache"))
  with serve(behavior) as host:
    monkeypatch.setenv("MILAN_JAX_HOST", host)
    yield


@pytest.fixture
def root(tmp_path):
  return tmp_path / "cache" / "milannotations"


def files(folder):
  return sorted(
    path.relative_to(folder).as_posix()
    for path in folder.rglob("*")
    if path.is_file() and path.name != ".lock"
  )


def test_the_groups_of_the_paper():
  classifiers = {"alexnet", "resnet152"}
  six = set(NETWORKS) - {"dino_vits8/imagenet"}
  assert len(NETWORKS) == 7 and set(GROUPS["base"]) == six
  assert set(GROUPS["cls"]) == {one for one in six if one.split("/")[0] in classifiers}
  assert GROUPS["gen"] == GROUPS["biggan"] == ("biggan/imagenet", "biggan/places365")
  assert {one.split("/")[1] for one in GROUPS["places365"]} == {"places365"}
  assert [len(GROUPS[one]) for one in ("imagenet", "alexnet")] == [3, 2]
  left_out = {name: six - set(GROUPS[name]) for name in GROUPS if name[:4] == "not-"}
  assert len(left_out) == 6
  assert all(
    name == f"not-{next(iter(one)).replace('/', '-')}" for name, one in left_out.items()
  )


def test_names_groups_and_folders_give_each_folder_once(tmp_path, root):
  own = tmp_path / "own"
  own.mkdir()
  found = networks_named(f"gen, alexnet-imagenet,{own},biggan/imagenet")
  assert list(found.items()) == [
    (root / "biggan/imagenet", "biggan/imagenet"),
    (root / "biggan/places365", "biggan/places365"),
    (root / "alexnet/imagenet", "alexnet/imagenet"),
    (own, None),
  ]
  with pytest.raises(
    UserError, match=r"'not-alexnet' is neither.*not-alexnet-imagenet"
  ):
    networks_named("base,not-alexnet")
  with pytest.raises(UserError, match="such as base"):
    networks_named(" ,")


def test_a_group_is_downloaded_once_with_sizes_and_digests(behavior, root):
  behavior.cut_after, behavior.cuts = len(behavior.files[ALEXNET]) // 2, 1
  found = fetch_annotated("cls")
  assert list(found) == list(GROUPS["cls"])
  assert list(found.values()) == [root / name for name in GROUPS["cls"]]
  assert len(behavior.asked) == 5 and behavior.asked[1][1].startswith("bytes=")
  folder = found["alexnet/imagenet"]
  want = files_of("alexnet/imagenet")
  assert files(folder) == sorted([*want, MANIFEST])
  assert all((folder / name).read_bytes() == data for name, data in want.items())
  about = json.loads((folder / MANIFEST).read_text())
  assert about["sha256"] == hashlib.sha256(behavior.files[ALEXNET]).hexdigest()
  assert about["size"] == len(behavior.files[ALEXNET])
  assert about["url"].endswith(ALEXNET)
  assert about["files"] == {
    name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    for name, data in want.items()
  }
  assert not list(root.glob("*.zip"))
  fetch_annotated("cls,alexnet")
  assert len(behavior.asked) == 5


def test_an_empty_folder_of_a_network_is_downloaded_into(behavior, root):
  (root / "alexnet/imagenet").mkdir(parents=True)
  found = fetch_annotated("alexnet/imagenet")
  assert (found["alexnet/imagenet"] / "annotations.csv").is_file()
  assert len(behavior.asked) == 1


def test_an_interrupted_download_keeps_what_came(behavior, root):
  path = "/data/biggan-places365.zip"
  whole = len(behavior.files[path])
  behavior.files["/data/biggan-imagenet.zip"] = archive(files_of("biggan/imagenet"))
  fetch_annotated("biggan-imagenet")  # without a folder around its layers
  behavior.cut_after, behavior.cuts = whole // 2, 1
  behavior.asked.clear()

  def interrupt(done, total):
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    fetch_annotated("gen", progress=interrupt)
  assert (root / "biggan-places365.zip.partial").stat().st_size == whole // 2
  fetch_annotated("gen")
  assert behavior.asked == [(path, None), (path, f"bytes={whole // 2}-")]
  assert files(root / "biggan/places365") == files(root / "biggan/imagenet")


def test_every_network_and_group_of_a_host_can_be_trained_on(
  behavior, root, tmp_path, monkeypatch
):
  monkeypatch.setattr(milannotations_merge, "PICTURES", {"imagenet": (1, 12)})
  for number in range(12):
    path = root / "imagenet/val/n1" / f"{number:02}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (30, 20), (number * 20, 0, 0)).save(path)
  for name, members in {**{one: (one,) for one in NETWORKS}, **GROUPS}.items():
    found = fetch_annotated(name)
    assert tuple(found) == members
    for folder in found.values():
      merge_pictures(folder)
    sets = read_sets(DataOptions(data=name), seed=0, say=lambda line: None)
    assert len(sets.exemplars.layers) == 2 * len(members)
    assert len(sets.annotations) == 8 * len(members)
  assert len(behavior.asked) == 7
  # An image is the picture of its id, in the joined set as well.
  sets = read_sets(DataOptions(data="base"), seed=0, say=lambda line: None)
  layer = sets.exemplars.exemplars("resnet152-imagenet:10")
  shown = sets.exemplars.images(layer.image_rows.ravel())
  assert shown[:, 0, 0, 0].tolist() == (layer.image_ids.ravel() * 20).tolist()


def _with_link():
  content, link = io.BytesIO(), zipfile.ZipInfo("3/ids.csv")
  link.external_attr = (stat.S_IFLNK | 0o777) << 16
  with zipfile.ZipFile(content, "w") as opened:
    opened.writestr(link, "../../out")
  return content.getvalue()


def _damaged():
  whole = bytearray(official_host()[ALEXNET])
  whole[len(whole) // 3] ^= 0xFF
  return bytes(whole)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (archive({"../../out": b"", "annotations.csv": b""}), "'../../out' is not a path"),
    (archive({"/etc/out": b"", "annotations.csv": b""}), "'/etc/out' is not a path"),
    (archive({"a\\..\\out": b"", "annotations.csv": b""}), "is not a path inside it"),
    (_with_link(), "is a link"),
    (archive({"3/ids.csv": b""}), r"has no annotations\.csv"),
    (_damaged(), "is damaged .*: remove it"),
    (b"<html>", "is damaged .*: remove it"),
  ],
)
def test_a_bad_archive_is_refused_and_nothing_lost(content, message, behavior, root):
  fetch_annotated("alexnet-places365")
  behavior.files[ALEXNET] = content
  with pytest.raises(UserError, match=message) as error:
    fetch_annotated("alexnet")
  assert "\n" not in str(error.value)
  assert not (root / "alexnet/imagenet").exists()
  assert files(root.parent.parent) == sorted(
    [
      *(
        f"cache/milannotations/alexnet/places365/{name}"
        for name in [*files_of("alexnet/places365"), MANIFEST]
      ),
      "cache/milannotations/alexnet-imagenet.zip",
    ]
  )
  (root / "alexnet-imagenet.zip").write_bytes(official_host()[ALEXNET])  # by hand
  fetch_annotated("alexnet", host="http://127.0.0.1:1")
  assert (root / "alexnet/imagenet").is_dir()


def test_without_a_connection_the_place_for_the_archive_is_named(root):
  with pytest.raises(UserError, match=r"copy it to .*resnet152-imagenet\.zip"):
    fetch_annotated("resnet152", host="http://127.0.0.1:1")


def test_a_group_is_trained_on_with_numeric_layers_and_units_out_of_order(root):
  for network in GROUPS["gen"]:
    write_network(root, network)
  lines = []
  found = read_sets(DataOptions(data="gen"), seed=0, say=lines.append)
  assert found.exemplars.layers == (
    *("biggan-imagenet:10", "biggan-imagenet:3"),
    *("biggan-places365:10", "biggan-places365:3"),
  )
  layer = found.exemplars.exemplars("biggan-imagenet:3")
  assert layer.units.tolist() == [5, 0, 3, 1]
  assert list(found.annotations[Unit("biggan-imagenet:3", 1)]) == [
    "dogs of biggan-imagenet",
    "cats of biggan-imagenet",
  ]
  options = DataOptions(data="gen", min_annotations=3, max_annotations=3)
  found = read_sets(options, seed=0, say=lines.append)
  assert Unit("biggan-imagenet:3", 1) not in found.annotations
  assert found.exemplars.exemplars("biggan-imagenet:3").units.tolist() == [5, 0, 3]
  assert any("2 of 8 units have fewer than 3 annotations" in line for line in lines)
  one = read_sets(DataOptions(data="gen", max_annotations=1), seed=0, say=print)
  assert {len(said) for said in one.annotations.values()} == {1}
  for wrong in ({"min_annotations": 4}, {"min_annotations": 0}):
    with pytest.raises(UserError, match="min_annotations"):
      read_sets(DataOptions(data="gen", **wrong), seed=0, say=print)
  with pytest.raises(UserError, match="give one of them"):
    read_sets(DataOptions(data="gen", exemplars="x"), seed=0, say=print)


def test_training_in_python_takes_names(tmp_path, monkeypatch):
  seen = []

  def record(options):
    seen.append(options)
    raise UserError("recorded")

  monkeypatch.setattr(training.training_run, "train", record)
  monkeypatch.chdir(tmp_path)
  (tmp_path / "gen").mkdir()
  for given in ("base", "gen", tmp_path / "gen", f"{tmp_path},alexnet/imagenet"):
    with pytest.raises(UserError, match="recorded"):
      training.train(given, workdir="w")
  assert [(each.data.data, each.data.exemplars) for each in seen] == [
    ("base", None),
    (None, "gen"),
    (None, str(tmp_path / "gen")),
    (f"{tmp_path},alexnet/imagenet", None),
  ]


def test_the_name_of_a_network_among_others(tmp_path):
  assert set_name(tmp_path / "alexnet/imagenet") == "alexnet-imagenet"
  assert set_name(tmp_path / "mine/imagenet") == "imagenet"
