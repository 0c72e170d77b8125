"""Two hundred damaged files, of every kind that is read: the same result, or its name.

A file with a checksum is read as it was written or refused. Where what a file holds is
the user's own (pixels, captions, weights in a format without checksums), another value
is another input: it must be a valid one, or be refused. Nothing else may happen.
"""

import csv
import dataclasses
import json
import pathlib
import random
import shutil
from collections.abc import Callable

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from milan_jax._src.errors import UserError
from milan_jax._src.exemplars import stats
from milan_jax._src.exemplars.shards import Progress
from milan_jax._src.images.arrays import ArrayImages, open_array_images
from milan_jax._src.images.latents import open_latents
from milan_jax._src.probe.unit_selection import select_units
from milan_jax._src.records import Description, LayerShape, Unit
from milan_jax._src.runs.inputs import FILE, Tables, of_contents, save_tables
from milan_jax._src.runs.workdir import read_run
from milan_jax._src.store.annotations import read_annotations
from milan_jax._src.store.descriptions import Journal
from milan_jax._src.store.exemplar_sets import open_exemplars
from milan_jax._src.store.exemplar_snapshots import load_progress, save_progress
from milan_jax._src.store.exemplar_store import write_exemplars
from milan_jax._src.store.feature_store import FeatureWriter, open_features
from milan_jax._src.store.original_layout import write_original_layout
from milan_jax._src.store.region_sets import RegionSetWriter
from milan_jax._src.store.release import load_release, save_release
from milan_jax._src.store.splits import read_split
from milan_jax._src.store.truths import read_truths
from milan_jax._src.training.train_milan import read_report
from milan_jax._src.weights.state_dicts import read_state_dict
from tests.helpers.tiny_release import tiny_release
from tests.store.test_exemplar_store import SIZE, K, images, statistics
from tests.store.test_feature_store import LAYERS, _values

MUTANTS = 200
LINES = [
  Description(Unit("conv", n), f"Dogs, {n}", 1.5, -n / 3, None) for n in range(6)
]
JOB = {"model": "m", "k": K}


# What there is of each kind, and all that a command reads of it.


def make_exemplars(folder):
  layers = {"conv": statistics(3, 4, 0), "a/b": statistics(2, 1, 1)}
  write_exemplars(folder, layers, ArrayImages(images()), info={"k": K})


def read_exemplars(folder):
  store = open_exemplars(folder)
  found = []
  for name in store.layers:
    layer = store.exemplars(name)
    rows, slots = (at.ravel() for at in np.indices(layer.image_rows.shape))
    found += [dataclasses.asdict(layer), store.masks(name, rows, slots)]
  every = np.arange(store.num_images)
  names = getattr(store, "image_names", lambda rows: None)(every)
  return [found, store.images(every), names, store.layers]


def make_regions(folder):
  with RegionSetWriter(folder, "c", k=2, size=SIZE) as writer:
    rows = [writer.image(n, image) for n, image in enumerate(images(2))]
    for unit in range(3):
      masks = np.random.default_rng(unit).random((2, SIZE, SIZE)) > 0.5
      writer.add(unit, rows, masks)


def make_original(folder):
  make_exemplars(folder / "native")
  write_original_layout(folder / "set", open_exemplars(folder / "native"))
  shutil.rmtree(folder / "native")


def make_features(folder):
  with FeatureWriter(folder, LAYERS, feature_size=5, total=2) as writer:
    for layer, values in enumerate(_values()):
      for row, slot in np.ndindex(*values.shape[:2]):
        writer.write(layer, row, slot, values[row, slot])
    writer.save(2)


def read_features(folder):
  store = open_features(folder)
  some = [store.units_of(name) for name in store.layers]
  return [list(store.units(0, 99)), some, store.read(0, 99), store.tables()]


def make_journal(folder):
  journal = Journal(folder / "descriptions.jsonl", 2, total=len(LINES))
  for first in range(0, len(LINES), 2):
    journal.append(LINES[first : first + 2])


def read_journal(folder):
  """What goes on: the lines before the damage, and then those made again."""
  journal = Journal(folder / "descriptions.jsonl", 2, total=len(LINES))
  for first in range(len(journal), len(LINES), 2):
    journal.append(LINES[first : first + 2])
  return list(journal)


def make_tables(folder):
  with (folder / "annotations.csv").open("w", newline="") as file:
    csv.writer(file).writerows(
      [["layer", "unit", "summary"], ["conv", 0, "red, dogs"], ["conv", 1, "cats"]]
    )
  (folder / "split.csv").write_text("layer,unit,split\nconv,0,train\nconv,1,test\n")
  (folder / "units.txt").write_text("1\n3\n")


def read_tables(folder):
  found = [
    read_annotations(folder / "annotations.csv"),
    read_split(folder / "split.csv"),
  ]
  for table in found:
    assert all(isinstance(unit, Unit) and unit.layer for unit in table)
  return [*found, select_units(str(folder / "units.txt"), 9)]


def make_snapshot(folder):
  shape = LayerShape("conv", 2, 2, 3)
  state = stats.start(shape, k=K, quantile=0.9, num_images=9)
  values = np.random.default_rng(0).normal(size=(5, 2, 2, 3)).astype(np.float32)
  state = stats.update(state, np.arange(5), values)
  progress = Progress(done=5, states={"conv": state}, skipped=())
  save_progress(folder / "0-of-1.npz", progress, JOB)


def read_snapshot(folder):
  progress = load_progress(folder / "0-of-1.npz", JOB)
  if progress is None:
    raise UserError(f"{folder / '0-of-1.npz'} is not there: the pass begins again")
  return [progress.done, {n: stats.to_arrays(s) for n, s in progress.states.items()}]


STATE = {"conv.weight": torch.randn(4, 3, 3, 3, generator=torch.manual_seed(0))}


def make_inputs(folder):
  parts = [("a.jpg", b"one"), ("b.jpg", b"two"), ("c.jpg", b"three")]
  save_tables(folder, {"images": of_contents("--images", "pictures", parts)})


def make_run(folder):
  value = {"config": {"k": 3, "model": "m"}, "versions": {}, "inputs": {"answers": {}}}
  (folder / "config.json").write_text(json.dumps(value))


def make_truths(folder):
  make_regions(folder / "set")
  units = [
    {
      **{"unit": n, "concept": "dogs", "lenient": ["dog"], "strict": [["dog"]]},
      "references": ["dogs"],
    }
    for n in range(3)
  ]
  (folder / "set" / "truth.json").write_text(json.dumps({"units": units}))


@dataclasses.dataclass(frozen=True)
class Kind:
  """Files of a kind.

  Attributes:
    make: writes them into a folder that is there.
    read: reads all of them.
    free: whether other values may be read than were written.
    only: the files to damage, by their suffix; empty for all.
  """

  make: Callable[[pathlib.Path], object]
  read: Callable[[pathlib.Path], object]
  free: bool = False
  only: str = ""


KINDS = {
  "exemplars": Kind(
    lambda f: make_exemplars(f / "store"), lambda f: read_exemplars(f / "store")
  ),
  "regions": Kind(
    lambda f: make_regions(f / "store"), lambda f: read_exemplars(f / "store")
  ),
  "original layout": Kind(
    make_original, lambda f: read_exemplars(f / "set"), free=True
  ),
  "features": Kind(make_features, read_features),
  "journal": Kind(make_journal, read_journal),
  "tables": Kind(make_tables, read_tables, free=True),
  "release": Kind(
    lambda f: save_release(tiny_release(), f),
    lambda f: dataclasses.asdict(load_release(f)),
  ),
  "snapshot": Kind(make_snapshot, read_snapshot),
  "torch": Kind(
    lambda f: torch.save({"state_dict": STATE, "epoch": 3}, f / "a.pth"),
    lambda f: read_state_dict(f / "a.pth", STATE),
  ),
  "safetensors": Kind(
    lambda f: save_file(STATE, f / "a.safetensors"),
    lambda f: read_state_dict(f / "a.safetensors", STATE),
    free=True,
  ),
  "images": Kind(
    lambda f: np.save(f / "images.npy", images(3)),
    lambda f: open_array_images(f / "images.npy").load(1),
    free=True,
  ),
  "zipped images": Kind(
    lambda f: np.savez(f / "images.npz", images=images(3)),
    lambda f: open_array_images(f / "images.npz").load(1),
  ),
  "latents": Kind(
    lambda f: np.savez(f / "z.npz", latents=np.ones((4, 8), np.float32)),
    lambda f: [open_latents(f / "z.npz").load(n) for n in range(4)],
  ),
  "inputs": Kind(make_inputs, lambda f: Tables(f).digests("images")),
  "run": Kind(make_run, read_run, free=True),
  "report": Kind(
    lambda f: (f / "report.json").write_text(json.dumps({"losses": {}, "words": 3})),
    read_report,
    free=True,
  ),
  "truths": Kind(
    make_truths, lambda f: read_truths(f / "set"), free=True, only="truth.json"
  ),
}


# How files are damaged.


def flip(data, rng):
  place = rng.randrange(len(data))
  return (
    data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]
  )


def change_json(data, rng):
  """Gives a value anywhere in a JSON file, or in a line of one, another type."""
  lines = data.splitlines(keepends=True)
  number = rng.randrange(len(lines)) if lines[0].endswith(b"}\n") else None
  value = json.loads(data if number is None else lines[number])
  places = list(_places(value))
  holder, key = rng.choice(places)
  holder[key] = rng.choice([None, -1, 1.5, "", [], {}, True, 10**30, [["x"]], "nan"])
  text = json.dumps(value).encode()
  if number is None:
    return text
  return b"".join([*lines[:number], text + b"\n", *lines[number + 1 :]])


def _places(value):
  items = value.items() if isinstance(value, dict) else ()
  items = enumerate(value) if isinstance(value, list) else items
  for key, one in items:
    yield value, key
    yield from _places(one)


def change_cell(data, rng):
  lines = data.decode().splitlines()
  number = rng.randrange(len(lines))
  cells = lines[number].split(",")
  cell = rng.choice(["", "-1", "1e9", "nan", '"', "x;y", "\t", "\ufeff", "9" * 40])
  cells[rng.randrange(len(cells))] = cell
  return "\n".join([*lines[:number], ",".join(cells), *lines[number + 1 :]]).encode()


def damage(path, others, rng):
  """Damages a file in one of many ways, and says which."""
  data = path.read_bytes()
  ways = {
    "flip": lambda: flip(data, rng),
    "cut": lambda: data[: rng.randrange(len(data))],
    "longer": lambda: data + rng.randbytes(rng.randrange(1, 40)),
    "empty": lambda: b"",
    "swap": lambda: rng.choice(others).read_bytes(),
  }
  if path.suffix in (".json", ".jsonl"):
    ways["json"] = lambda: change_json(data, rng)
  if path.suffix == ".csv":
    ways["cell"] = lambda: change_cell(data, rng)
  # Flips and changed values twice as often as what any reader sees.
  way = rng.choice(
    [*ways, *(way for way in ways if way in ("flip", "json", "cell")), ""]
  )
  if way:
    path.write_bytes(ways[way]())
  else:
    path.unlink()
  return way or "gone"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
  """A folder of each kind, and what is read of it."""
  root = tmp_path_factory.mktemp("built")
  found = {}
  for name, kind in KINDS.items():
    (root / name).mkdir()
    kind.make(root / name)
    found[name] = kind.read(root / name)
  return root, found


def same(one, other):
  """Whether two results are equal to the last bit."""
  if isinstance(one, dict) and isinstance(other, dict):
    return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
  if isinstance(one, list | tuple) and isinstance(other, list | tuple):
    return len(one) == len(other) and all(map(same, one, other))
  if isinstance(one, np.ndarray | np.void):
    return np.array_equal(one, other, equal_nan=np.asarray(one).dtype.kind == "f")
  return type(one) is type(other) and one == other


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_file_gives_the_same_result_or_is_named(name, built, tmp_path):
  root, results = built
  kind = KINDS[name]
  everything = [path for path in root.rglob("*") if path.is_file()]
  refused = 0
  for number in range(-(-MUTANTS // len(KINDS))):
    rng = random.Random(f"{name} {number}")
    folder = shutil.copytree(root / name, tmp_path / str(number))
    files = sorted(path for path in folder.rglob(f"*{kind.only}") if path.is_file())
    path = rng.choice(files)
    way = damage(path, everything, rng)
    told = f"{name}, mutant {number}: {path.relative_to(folder)} ({way})"
    try:
      found = kind.read(folder)
    except UserError as error:
      assert path.name in str(error) or str(path.parent) in str(error), told
      refused += 1
    except Exception as error:
      raise AssertionError(f"{told}: {type(error).__name__}: {error}") from error
    else:
      # Inputs of which nothing is known are looked at again.
      unknown = name == "inputs" and found is None
      assert kind.free or unknown or same(found, results[name]), told
  assert refused or name in ("journal", "inputs")


CHANGES = ({"done": "x"}, {"done": -1}, {"skipped": 3}, {"job": None}, {"job": []})


@pytest.mark.parametrize(
  ("change", "seal"),
  [({"done": 4}, True), *((change, seal) for change in CHANGES for seal in (0, 1))],
)
def test_a_changed_snapshot_is_named(tmp_path, change, seal):
  make_snapshot(tmp_path)
  path = tmp_path / "0-of-1.npz"
  with np.load(path) as archive:
    arrays = dict(archive)
  about = json.loads(str(arrays["about"])) | change
  if not seal:
    del about["crc32"]  # as an earlier version wrote it
  np.savez(path, **arrays | {"about": np.array(json.dumps(about))})
  with pytest.raises(UserError, match=path.name):
    read_snapshot(tmp_path)


def test_every_kind_of_file_of_a_run_is_here(built):
  root, _ = built
  suffixes = {path.suffix for path in root.rglob("*") if path.is_file()}
  assert suffixes >= {".json", ".jsonl", ".csv", ".npy", ".npz", ".pth", ".safetensors"}
  assert (root / "inputs" / FILE).is_file()
