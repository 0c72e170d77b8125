"""`milan-data`: merging, counting, checking and exporting annotated exemplars."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.options.data import AnnotatedDataOptions
from milan_jax._src.options.train import DataOptions
from milan_jax._src.records import Unit
from milan_jax._src.store import milannotations_merge
from milan_jax._src.store.annotations import read_annotations, write_annotations
from milan_jax._src.store.exemplar_sets import open_exemplars
from milan_jax._src.store.milannotations_archive import MANIFEST
from milan_jax._src.store.milannotations_job import run_action
from milan_jax._src.store.milannotations_merge import MERGED
from milan_jax._src.store.original_layout import merge_images
from milan_jax._src.store.region_sets import RegionSetWriter
from milan_jax._src.training.annotated_sets import read_sets
from tests.store.fake_milannotations import (
  SIZE,
  UNITS,
  K,
  files_of,
  ids_of,
  write_network,
)

NETWORK = "resnet152/imagenet"
# In the order of torchvision's ImageFolder, which sorts capitals first.
ORDER = ["n01/Z.JPEG", "n01/a.jpeg", "n01/sub/b.png"]
ORDER += [f"n02/{number}.png" for number in range(9)]


@pytest.fixture
def root(tmp_path, monkeypatch):
  monkeypatch.setenv("MILAN_JAX_HOST", "http://127.0.0.1:1")
  monkeypatch.setattr(
    milannotations_merge, "PICTURES", {"imagenet": (2, 12), "places365": (2, 12)}
  )
  return tmp_path / "root"


def write_pictures(folder):
  """Twelve pictures of 300 x 400 pixels or 500 x 260, among other files."""
  rng = np.random.default_rng(3)
  for at, name in reversed(list(enumerate(ORDER))):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = rng.integers(0, 256, (5, 4, 3), np.uint8)
    picture = Image.fromarray(blocks).resize([(300, 400), (500, 260)][at % 2])
    picture.save(path)
  (folder / "n02" / "readme.txt").write_text("no picture")
  (folder / "top.png").write_bytes(b"not in a class")
  return folder


def run(action, root, **options):
  if not pathlib.Path(options.get("data", "none")).is_dir():  # else it is not used
    options["data_root"] = str(root)
  run_action(action, AnnotatedDataOptions(**options))


def cropped(path):
  """The exemplars' own way, by Pillow alone, then every fourteenth pixel."""
  with Image.open(path) as image:
    image = image.convert("RGB")
    width, height = (256, 341) if image.size == (300, 400) else (492, 256)
    left, top = (16, 58) if width == 256 else (134, 16)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)[top : top + 224, left : left + 224][::14, ::14]


def squashed(path):
  with Image.open(path) as image:
    resized = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(resized)


@pytest.mark.parametrize(("parity", "fitted"), [(False, cropped), (True, squashed)])
@pytest.mark.parametrize("inside", ["", "val", "imagenet/val"])
def test_pictures_are_merged_by_their_ids(
  parity, fitted, inside, root, tmp_path, capsys
):
  folder = write_network(root, NETWORK)
  pictures = write_pictures(tmp_path / "pictures" / inside)
  with pytest.raises(UserError, match=r"milan-data merge \(data=.*resnet152/imagenet,"):
    open_exemplars(folder)
  given = {"images": str(tmp_path / "pictures"), "parity": parity}
  run("merge", root, data="resnet152-imagenet", **given)
  found = open_exemplars(folder)
  for layer in found.layers:
    of = found.exemplars(layer)
    np.testing.assert_array_equal(of.image_ids, ids_of(NETWORK, layer))
    shown = found.images(of.image_rows.ravel())
    want = [fitted(pictures / ORDER[each]) for each in of.image_ids.ravel()]
    np.testing.assert_array_equal(shown, want)
  assert "2 layers merged" in capsys.readouterr().out
  run("merge", root, data="resnet152-imagenet")
  assert "has its images" in capsys.readouterr().out
  (folder / "3" / "images.npy").unlink()
  with pytest.raises(UserError, match="some layers were merged with"):
    run("merge", root, data=NETWORK, images=given["images"], parity=not parity)


def test_the_messages_name_the_place_of_the_pictures(root, tmp_path):
  write_network(root, NETWORK)
  place = root / "imagenet" / "val"
  with pytest.raises(UserError, match=f"pictures of imagenet into {place}, in one"):
    run("merge", root, data=NETWORK)
  with pytest.raises(UserError, match=r"images=.*none: there is no such folder"):
    run("merge", root, data=NETWORK, images=str(tmp_path / "none"))
  place.mkdir(parents=True)
  with pytest.raises(UserError, match="no pictures in folders of classes"):
    run("merge", root, data=NETWORK)
  write_pictures(place)
  (place / ORDER[4]).rename(place / "n02" / "later.txt")
  with pytest.raises(UserError, match=r"12 validation .* found 11 in 2"):
    run("merge", root, data=NETWORK)
  (place / "n02" / "later.txt").rename(place / ORDER[4])
  used = sorted({*ids_of(NETWORK, "3").ravel(), *ids_of(NETWORK, "10").ravel()})
  whole = (place / ORDER[used[0]]).read_bytes()
  (place / ORDER[used[0]]).write_bytes(whole[:50])
  with pytest.raises(UserError, match=r"cannot be decoded .*; copy it again"):
    run("merge", root, data=NETWORK)
  (place / ORDER[used[0]]).write_bytes(whole)
  run("merge", root, data=str(root / NETWORK))  # the path is as good as the name
  read = read_sets(DataOptions(data=NETWORK, data_root=str(root)), seed=0, say=print)
  assert read.exemplars.layers == ("10", "3")


def test_an_id_beyond_the_pictures(root, tmp_path):
  folder = write_network(tmp_path / "written", NETWORK).rename(tmp_path / "own")
  (folder / "3" / "ids.csv").write_text("\n".join(["0,12"] * len(UNITS)))
  pictures = write_pictures(tmp_path / "pictures")
  with pytest.raises(UserError, match=r"has 12 pictures, but ids\.csv .* number 12"):
    run("merge", root, data=str(folder), images=str(pictures))
  assert (folder / "10" / "images.npy").exists()
  assert not (folder / "3" / "images.npy").exists()


def test_numbers_of_sets(root, tmp_path, capsys):
  for network in ("biggan/imagenet", NETWORK):
    write_network(root, network)
  table = root / NETWORK / "annotations.csv"
  table.write_text(table.read_text() + "\n3,99,a dog\n")
  out = tmp_path / "stats.json"
  run("stats", root, data=f"biggan/imagenet,{NETWORK}", out=str(out))
  found = json.loads(out.read_text())
  one, other = found["biggan-imagenet"], found["resnet152-imagenet"]
  # Per layer: three units with three annotations, of which two are one; one with two.
  # "dogs of biggan-imagenet" has the tokens dogs, of, biggan, -, imagenet.
  assert one == {
    **{"layers": 2, "units": 8, "annotated": 8, "fewer_than_3": 2},
    **{"annotations": 22, "duplicates": 6, "words": 2 * (8 * 5 + 3 * 6)},
    **{"vocabulary": 8, "longest": 6, "longer_than_15": 0},
    **{"missing_annotations": 0, "missing_exemplars": 0, "missing_images": 0},
  }
  assert other["missing_exemplars"] == 1 and other["missing_images"] == 2
  total = found["total"]
  assert total["annotations"] == one["annotations"] + other["annotations"] == 45
  assert total["units"] == 16 and total["layers"] == 4
  printed = capsys.readouterr().out.splitlines()
  assert printed[0].split() == ["biggan-imagenet", "resnet152-imagenet", "total"]
  assert ["annotations", "22", "23", "45"] in [line.split() for line in printed]


def test_a_check_prints_problems_and_remarks(root, capsys):
  folder = write_network(root, NETWORK)
  about = {"files": {"3/ids.csv": {"size": 3, "sha256": "0"}}}
  (folder / MANIFEST).write_text(json.dumps(about))
  with pytest.raises(UserError, match="Problems: 2, named above"):
    run("check", root, data=NETWORK)
  printed = capsys.readouterr().out
  assert "problem: resnet152-imagenet: 3/ids.csv has " in printed
  assert "2 layers have no images.npy (10, 3): run 'milan-data merge" in printed
  assert "remark: resnet152-imagenet: 2 annotated units have fewer than 3" in printed
  (folder / MANIFEST).write_text("{}")
  with pytest.raises(UserError, match="expected files with size and sha256"):
    run("check", root, data=NETWORK)
  own = write_network(root, "biggan/imagenet")  # has its images
  read = read_annotations(own)
  write_annotations(
    own / "annotations.csv",
    {unit: ("a", "b", "c") for unit in read if unit.index},
  )
  run("check", root, data="biggan/imagenet")
  printed = capsys.readouterr().out
  assert printed == ("remark: biggan-imagenet: 2 units have no annotation: 10 0, 3 0\n")


def test_an_export_has_no_images_and_can_be_merged_again(root, tmp_path, capsys):
  networks = ("biggan/imagenet", NETWORK)
  for network in networks:
    write_network(root, network)
  with RegionSetWriter(tmp_path / "own", "conv", k=K, size=SIZE) as writer:
    mask = np.arange(SIZE * SIZE).reshape(1, SIZE, SIZE) % 3 == 0
    pixels = np.arange(SIZE * SIZE * 3, dtype=np.uint8).reshape(SIZE, SIZE, 3)
    row = writer.image((0, 0), pixels)
    writer.add(4, [row] * K, mask.repeat(K, axis=0))
  write_annotations(tmp_path / "own" / "annotations.csv", {Unit("conv", 4): ("x",)})
  out, sets = tmp_path / "out", f"{','.join(networks)},{tmp_path / 'own'}"
  run("export", root, data=sets, out=str(out))
  for network in networks:
    want = {
      name: data
      for name, data in files_of(network).items()
      if not name.endswith("images.npy")
    }
    found = {
      path.relative_to(out / network).as_posix(): path.read_bytes()
      for path in (out / network).rglob("*")
      if path.is_file()
    }
    assert found == want
  assert not list(out.rglob("images.npy"))
  # The folder of the sets is not a set with annotations.
  assert not (out / "annotations.csv").exists()
  table = read_annotations(out / "all-annotations.csv")
  printed = capsys.readouterr().out.splitlines()
  assert printed == [
    f"biggan-imagenet: exported to {out / networks[0]}, without images",
    f"resnet152-imagenet: exported to {out / networks[1]}, without images",
    f"own: exported to {out / 'own'}, without images",
    f"All 17 annotated units are in {out / 'all-annotations.csv'}.",
  ]
  assert table[Unit("own:conv", 4)] == ("x",)
  assert table[Unit("resnet152-imagenet:3", 1)] == (
    "dogs of resnet152-imagenet",
    "cats of resnet152-imagenet",
  )
  assert len(table) == 17
  assert np.load(out / "own/conv/units.npy").tolist() == [4]
  merge_images(out / "own", lambda image: pixels)
  again, before = open_exemplars(out / "own"), open_exemplars(tmp_path / "own")
  for made in (again, before):
    np.testing.assert_array_equal(made.images(np.array([0]))[0], pixels)
    shown = made.masks("conv", np.array([0]), np.array([1]))
    np.testing.assert_array_equal(shown, mask)
  with pytest.raises(UserError, match="already exists"):
    run("export", root, data=sets, out=str(out))
  run("export", root, data=str(tmp_path / "own"), out=str(tmp_path / "single"))
  assert [path.name for path in (tmp_path / "single").iterdir()] == ["own"]
  # A native store keeps its images in one file.
  files = sorted((tmp_path / "own").rglob("*"))
  run("merge", root, data=str(tmp_path / "own"))
  assert sorted((tmp_path / "own").rglob("*")) == files


def test_what_was_asked_for_must_exist(root):
  with pytest.raises(UserError, match="'count': expected one of download, merge"):
    run("count", root, data="base")
  with pytest.raises(UserError, match="such as base"):
    run("stats", root)
  write_network(root, NETWORK)
  assert not (root / NETWORK / MERGED).exists()


@pytest.mark.parametrize("action", ["download", "merge", "stats", "check", "export"])
@pytest.mark.parametrize("content", [None, "annotations.csv", "conv/notes.txt"])
def test_a_folder_without_exemplars_is_refused_by_every_action(
  action, content, root, tmp_path
):
  folder = tmp_path / "own"
  folder.mkdir()
  if content:
    (folder / content).parent.mkdir(exist_ok=True)
    (folder / content).write_text("layer,unit,summary\nconv,0,red\n")
  out = {"out": str(tmp_path / "out")} if action == "export" else {}
  with pytest.raises(UserError, match=r"own has no exemplars: expected meta\.json"):
    run(action, root, data=str(folder), **out)
  assert not (tmp_path / "out").exists()


def test_merging_into_no_folder(tmp_path):
  with pytest.raises(UserError, match=r"There is no folder .*nowhere"):
    milannotations_merge.merge_pictures(tmp_path / "nowhere")


def test_a_download_says_what_is_there(root, capsys):
  write_network(root, NETWORK)
  write_network(root, "biggan/imagenet")
  run("download", root, data=f"biggan/imagenet,{NETWORK}")
  units = 2 * len(UNITS)
  assert capsys.readouterr().out.splitlines() == [
    f"biggan/imagenet: {root / 'biggan/imagenet'}, {units} units, {units} annotated",
    f"{NETWORK}: {root / NETWORK}, {units} units, {units} annotated; 2 layers without "
    "images: run milan-data merge",
  ]


@pytest.mark.parametrize(
  ("action", "options", "words"),
  [
    ("stats", {"images": "x"}, "images: milan-data stats does not use it, only merge"),
    ("check", {"parity": True}, "parity: milan-data check does not use it"),
    ("merge", {"out": "x"}, "only stats and export and records"),
    ("export", {}, "out: give the folder to write to."),
    ("records", {}, "out: give the folder to write to, local or remote"),
    ("export", {"out": "gs://b/x"}, "out=gs://b/x: expected a path on this machine"),
    ("stats", {"out": "gs://b/x.json"}, "only records writes to a remote one"),
  ],
)
def test_options_of_an_action_are_checked_before_a_download(
  action, options, words, root
):
  # The host of these tests does not answer.
  with pytest.raises(UserError, match=words):
    run(action, root, data="base", **options)
