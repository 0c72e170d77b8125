"""Training behind a projection, and the confidence that a known truth gives."""

import dataclasses
import hashlib
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy
from jax.experimental.compilation_cache import compilation_cache

from milan_jax._src.errors import UserError
from milan_jax._src.lab.corpus import unit_truths as truth
from milan_jax._src.models.confidence_model import NO_PATTERN
from milan_jax._src.models.encoder import Projection
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.options.train import FeaturesOptions, TrainOptions
from milan_jax._src.records import Unit
from milan_jax._src.runs.locks import hold
from milan_jax._src.store import release as releases
from milan_jax._src.store.annotations import write_annotations
from milan_jax._src.store.feature_store import open_features
from milan_jax._src.store.region_sets import RegionSetWriter
from milan_jax._src.training import annotated_folder, train_milan
from milan_jax._src.training import training_run as train
from milan_jax._src.training.features_job import compute_features
from milan_jax._src.training.projection import QUIET
from tests.store.resealed import reseal

COLORS = {"red": (220, 30, 30), "green": (30, 180, 30), "blue": (30, 30, 220)}
NUM_UNITS, K, SIZE, COMPONENTS = 32, 3, 64, 6
PARTS = ["train"] * 16 + ["validation"] * 12 + ["test"] * 4
PHOTOGRAPHS = {"train": "1" * 64, "validation": "2" * 64, "test": "3" * 64}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
  """Units of three colors and of nothing, with their truth."""
  folder = tmp_path_factory.mktemp("corpus") / "corpus"
  rng = np.random.default_rng(0)
  kinds = [(*COLORS, "")[unit % 4] for unit in range(NUM_UNITS)]
  with RegionSetWriter(folder, "patches", k=K, size=SIZE) as writer:
    for unit, kind in enumerate(kinds):
      rows, masks = [], np.zeros((K, SIZE, SIZE), bool)
      for slot in range(K):
        image = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        top, left = rng.integers(0, SIZE - 24, 2)
        masks[slot, top : top + 24, left : left + 24] = True
        if kind:
          image[masks[slot]] = COLORS[kind]
        rows.append(writer.image((unit, slot), image))
      writer.add(unit, rows, masks)
  write_annotations(
    folder / "annotations.csv",
    {
      Unit("patches", unit): (f"{kind} things",) * 2 if kind else ("random areas",) * 2
      for unit, kind in enumerate(kinds)
    },
  )
  lines = [f"patches,{unit},{part}" for unit, part in enumerate(PARTS)]
  (folder / "split.csv").write_text("\n".join(["layer,unit,split", *lines]) + "\n")
  rows = [
    truth.entry(
      unit,
      kind or "nothing",
      lenient=[kind] if kind else [],
      strict=[[kind]] if kind else [],
      references=[],
      family="colors",
    )
    for unit, kind in enumerate(kinds)
  ]
  (folder / "truth.json").write_text(json.dumps({"layer": "patches", "units": rows}))
  manifest = {
    "photographs": [
      {"name": split, "sha256": digest, "split": split}
      for split, digest in PHOTOGRAPHS.items()
    ]
  }
  (folder / "manifest.json").write_text(json.dumps(manifest))
  return folder


def _train(corpus, workdir, **options):
  own = {
    "exemplars": str(corpus),
    "workdir": str(workdir),
    "encoder_layers": "act0",
    "projection": str(COMPONENTS),
    "whitening": 1.0,
    "release_dtype": "float16",
    "hidden_size": 24,
    "embedding_size": 8,
    "lm_hidden_size": 8,
    "lm_embedding_size": 4,
    "lm_layers": 1,
    "batch_size": 8,
    "lm_batch_size": 8,
    "learning_rate": 0.05,
    "max_epochs": 8,
    "dropout": 0.0,
    "about": "Colors.",
  }
  return train.train(TrainOptions.of(**own | options))


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory):
  """Keeps all programs: a run that goes on compiles none again."""
  values = {
    "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": 0,
  }
  before = {name: getattr(jax.config, name) for name in values}
  for name, value in values.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()
  yield
  for name, value in before.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
  """A run directory; it decodes greedily, which compiles faster."""
  workdir = tmp_path_factory.mktemp("trained") / "run"
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(train_milan, "DECODING", Decoding("greedy", 4, 1, 0.2))
    assert _train(corpus, workdir) == workdir / "milan"
    yield workdir


def test_the_release_holds_the_projection_of_its_training_features(trained):
  release = releases.load_release(trained / "milan")
  assert not (trained / "projected.npy").exists()
  assert release.encoder.projection == release.captioner.feature_size == COMPONENTS
  assert release.feature_size == 32
  store = open_features(trained / "features")
  rows = store.read(0, PARTS.count("train")).reshape(-1, 32).astype(float)
  projection = release.projection
  assert isinstance(projection, Projection)
  np.testing.assert_allclose(projection.shift, rows.mean(0), atol=2e-3)
  # Whitened principal components of what was trained on, up to half precision.
  projected = (rows - projection.shift) @ projection.kernel
  np.testing.assert_allclose(
    np.cov(projected.T, bias=True), np.eye(COMPONENTS), atol=0.02
  )
  least = QUIET * np.median(rows.std(0))
  standard = (rows - rows.mean(0)) / np.maximum(rows.std(0), least)
  _, _, axes = np.linalg.svd(standard, full_matrices=False)
  found = projected / np.linalg.norm(projected, axis=0)
  best = standard @ axes[:COMPONENTS].T
  best /= np.linalg.norm(best, axis=0)
  np.testing.assert_allclose(np.abs((found * best).sum(0)), 1, atol=0.01)


class Stopped(Exception):  # noqa: N818
  """Ends a run before it trains."""


@pytest.fixture
def untrained(trained, monkeypatch):
  """Runs as far as to the training, on features that are there; gives its arguments."""
  found = {}

  def stop(data, encoder, options, workdir, **_):
    found.update(data=data, encoder=encoder, options=options)
    raise Stopped

  monkeypatch.setattr(
    train, "encode_exemplars", lambda *_, **__: open_features(trained / "features")
  )
  monkeypatch.setattr(train, "train_milan", stop)
  return found


def _copy(corpus, folder, *without):
  return shutil.copytree(corpus, folder, ignore=lambda *_: set(without))


def test_without_a_split_the_projection_is_of_the_training_part_alone(
  trained, corpus, tmp_path, untrained
):
  bare = _copy(corpus, tmp_path / "bare", "split.csv", "truth.json")
  with pytest.raises(Stopped):
    _train(bare, tmp_path / "run", seed=5)
  store = open_features(trained / "features")
  # A tenth for validation and a tenth for test come first in the seed's order.
  training = np.random.default_rng(5).permutation(NUM_UNITS)[3 + 3 :]
  shift = untrained["encoder"].projection.shift
  of_training = store.read_rows(training).mean((0, 1))
  np.testing.assert_allclose(shift, of_training, atol=1e-5)
  assert np.abs(shift - store.read(0, NUM_UNITS).mean((0, 1))).max() > 1e-3
  assert untrained["data"].split is None
  assert untrained["options"].run.seed == 5


def _append(path, *lines):
  path.write_text(path.read_text() + "".join(f"{line}\n" for line in lines))


def test_annotations_and_split_rows_that_match_nothing_are_said(
  corpus, tmp_path, untrained, capfd
):
  more = _copy(corpus, tmp_path / "more")
  _append(more / "annotations.csv", "patches,99,lost", "layer1,0,gone", "layer1,0,too")
  _append(more / "split.csv", "patches,98,train")
  with pytest.raises(Stopped):
    _train(more, tmp_path / "run")
  said = capfd.readouterr().err
  assert "3 of 67 annotations, of 2 of 34 units, match no exemplars" in said
  assert "patches 99, layer1 0" in said
  assert "1 of 33 units of" in said and "split.csv" in said and "patches 98" in said
  data = untrained["data"]
  assert len(data.annotations) == len(data.split) == NUM_UNITS


def _rename_layers(folder):
  path = folder / "annotations.csv"
  path.write_text(path.read_text().replace("patches,", "features.patches,"))


def _annotate_one_of_ours(folder):
  lines = [f"other,{unit},things" for unit in range(3)]
  text = "\n".join(["layer,unit,summary", "patches,0,red things", *lines])
  (folder / "annotations.csv").write_text(f"{text}\n")


def _repeat_a_unit(folder):
  _append(folder / "split.csv", "patches,3,test")


def _cut_split(folder):
  lines = (folder / "split.csv").read_text().splitlines()
  (folder / "split.csv").write_text("\n".join(lines[:-2]) + "\n")


@pytest.mark.parametrize(
  ("spoil", "message"),
  [
    (
      _rename_layers,
      r"annotations are of features\.patches; exemplars are of patc",
    ),
    (_annotate_one_of_ours, r"3 of 4 annotations, .*other 0, other 1, other 2.*most"),
    (_repeat_a_unit, r"split\.csv, line 34: .*patches"),
    (_cut_split, r"split\.csv has no row for 2 of 32 annotated units: patches 30, "),
  ],
)
def test_where_most_is_lost_or_a_part_is_unknown_nothing_is_encoded(
  corpus, tmp_path, spoil, message
):
  corrupt = _copy(corpus, tmp_path / "corrupt")
  spoil(corrupt)
  with pytest.raises(UserError, match=message):
    _train(corrupt, tmp_path / "run")
  assert not (tmp_path / "run").exists()


def test_tensors_are_released_in_half_precision(trained):
  tensors = safetensors.numpy.load_file(trained / "milan" / "milan.safetensors")
  assert {"projection/shift", "projection/kernel"} <= set(tensors)
  assert {array.dtype for array in tensors.values()} == {np.dtype(np.float16)}


def test_the_release_knows_its_confidence_and_its_sources(trained):
  release = releases.load_release(trained / "milan")
  spec = release.confidence
  assert spec is not None
  assert len(spec.weights) == len(spec.centers) == len(spec.evidence)
  nothing = release.decoding.nothing
  assert "random areas" in nothing and NO_PATTERN.lower() in nothing
  report = json.loads((trained / "report.json").read_text())
  found = report["confidence"]
  assert found["units"] == PARTS.count("validation")
  assert found["threshold"] == spec.threshold
  assert found["right"] > 0.8, "colors of patches are learned"
  assert found["others_refused"] <= 0.08
  assert 0 <= found["negatives_refused"] <= 1
  assert release.card["about"] == "Colors."
  known = [PHOTOGRAPHS[split][:16] for split in ("train", "validation")]
  assert release.card["trained_on"] == known


def _digests(workdir):
  return {
    name: hashlib.sha256((workdir / name).read_bytes()).hexdigest()
    for name in ("milan/milan.json", "milan/milan.safetensors", "report.json")
  }


def test_a_run_that_was_stopped_before_its_confidence_gets_the_same(trained, corpus):
  before = _digests(trained)
  _train(corpus, trained)
  assert _digests(trained) == before, "nothing is left to do"
  release = releases.load_release(trained / "milan")
  report = json.loads((trained / "report.json").read_text())
  del report["confidence"]
  # Stopped after the report; then after the release was written once more.
  for stopped in (dataclasses.replace(release, confidence=None), release):
    params = {
      part: _cast(branch, np.float16) for part, branch in stopped.params.items()
    }
    releases.save_release(
      dataclasses.replace(stopped, params=params), trained / "milan"
    )
    (trained / "report.json").write_text(json.dumps(report))
    _train(corpus, trained)
    assert _digests(trained) == before


def test_computed_features_give_the_same_confidence(
  trained, corpus, tmp_path, monkeypatch, capfd
):
  pytest.importorskip("tensorflow_datasets")
  pytest.importorskip("array_record")
  monkeypatch.setattr(train_milan, "DECODING", Decoding("greedy", 4, 1, 0.2))
  own = {"encoder_layers": "act0", "workdir": str(tmp_path / "features")}
  target = compute_features(FeaturesOptions.of(exemplars=str(corpus), **own))
  _train(None, tmp_path / "run", exemplars=None, features=str(tmp_path / "features"))
  for name in ("milan.json", "milan.safetensors"):
    found = (tmp_path / "run" / "milan" / name).read_bytes()
    assert found == (trained / "milan" / name).read_bytes()
  report = json.loads((tmp_path / "run" / "report.json").read_text())
  confidence = json.loads((trained / "report.json").read_text())["confidence"]
  assert report["confidence"] == confidence
  # Features of an earlier version have no truths; the user is told.
  path = pathlib.Path(target) / "records.json"
  about = json.loads(path.read_text())
  del about["crc32"], about["has_truths"]
  path.write_text(json.dumps(about))
  monkeypatch.setattr(train, "train_milan", lambda *_, **__: None)
  capfd.readouterr()
  _train(None, tmp_path / "old", exemplars=None, features=str(tmp_path / "features"))
  assert "Run milan-features again in another workdir" in capfd.readouterr().err


def _replace(name, before, after):
  def change(folder):
    path = folder / name
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))

  return change


def _flip(name):
  def change(folder):
    path = folder / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    reseal(folder)

  return change


@pytest.mark.parametrize(
  ("change", "options", "message"),
  [
    (
      _replace("annotations.csv", "red things", "dark things"),
      {},
      r"annotations: 1 of 32 annotated units changed since .*, first patches 0",
    ),
    (
      _replace("split.csv", "patches,5,train", "patches,5,validation"),
      {},
      r"split: 1 of 32 units of the split changed .*, first patches 5; name",
    ),
    (_flip("images.npy"), {}, r"exemplars: 2 of \d+ files changed .* meta\.json"),
    (_flip("layers/patches/masks.npy"), {}, r"exemplars: 2 of \d+ files changed"),
    (_replace("truth.json", "red", "dark"), {}, r"first truth\.json"),
    (lambda folder: None, {"temperature": 0.3}, "temperature is 0.2 there and 0.3"),
    (lambda folder: None, {"release_dtype": "float32"}, "release_dtype is 'float16'"),
    (lambda folder: None, {"seed": 1}, "seed is 0 there and 1 here"),
  ],
)
def test_a_run_is_not_gone_on_with_from_other_inputs(
  trained, corpus, tmp_path, change, options, message
):
  before = _digests(trained)
  other = _copy(corpus, tmp_path / "other")
  change(other)
  with pytest.raises(UserError, match=message) as error:
    _train(other, trained, **options)
  assert "\n" not in str(error.value)
  assert _digests(trained) == before


def test_a_copy_of_its_inputs_is_the_same_and_a_finished_run_says_so(
  trained, corpus, tmp_path, monkeypatch, capfd
):
  monkeypatch.setattr(
    train, "encode_exemplars", lambda *_, **__: pytest.fail("encoded")
  )
  before = _digests(trained)
  other = _copy(corpus, tmp_path / "other")
  assert _train(other, trained, checkpoint_every=7) == trained / "milan"
  assert "nothing is left to do" in capfd.readouterr().err
  assert _digests(trained) == before


def test_a_release_that_is_gone_is_written_again(trained, corpus, tmp_path):
  run = shutil.copytree(trained, tmp_path / "run")
  shutil.rmtree(run / "milan")
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(train_milan, "DECODING", Decoding("greedy", 4, 1, 0.2))
    _train(corpus, run)
  assert (
    _digests(run)["milan/milan.safetensors"]
    == (_digests(trained)["milan/milan.safetensors"])
  )


def test_a_damaged_report_is_named(trained, corpus, tmp_path):
  run = shutil.copytree(trained, tmp_path / "run")
  (run / "report.json").write_text("{")
  with pytest.raises(UserError, match=r"report\.json is damaged .*: remove it and"):
    _train(corpus, run)


def test_a_run_that_another_process_works_on_is_left_alone(trained, corpus):
  before = _digests(trained)
  with (
    hold(trained),
    pytest.raises(UserError, match=r"workdir: .* is in use by another run \(process"),
  ):
    _train(corpus, trained)
  assert _digests(trained) == before


def _cast(tree, dtype):
  if isinstance(tree, dict):
    return {name: _cast(branch, dtype) for name, branch in tree.items()}
  return tree.astype(dtype)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"projection": "8,4"}, r"projection=8,4: expected 1 .* at most 32; found 2"),
    ({"projection": "33"}, r"projection=33: expected .* at most 32\."),
    ({"projection": "0"}, r"projection=0: expected"),
    ({"projection": "few"}, r"projection=few: expected"),
    ({"projection": "-3"}, r"projection=-3: expected"),
    ({"release_dtype": "int8"}, r"release_dtype: .* float16; found 'int8'"),
    ({"stray_regions": 1.5}, r"stray_regions: expected 0 to 1; found 1.5"),
    ({"batch_size": 0}, r"batch_size: expected 1 to \d+; found 0"),
    ({"hidden_size": 10**9}, r"hidden_size: expected 1 to 65536; found 10+\."),
    ({"learning_rate": float("nan")}, r"learning_rate: expected .*; found nan"),
    ({"temperature": float("inf")}, r"temperature: expected .*; found inf"),
    ({"seed": -1}, r"seed: expected 0 to \d+; found -1"),
  ],
  ids=str,
)
def test_bad_options_are_said_before_anything_is_encoded(
  corpus, tmp_path, options, message
):
  with pytest.raises(UserError, match=message):
    _train(corpus, tmp_path / "run", **options)
  assert not (tmp_path / "run" / "features").exists()


def test_a_truth_of_other_units_is_an_error(trained, corpus, monkeypatch):
  monkeypatch.setattr(annotated_folder, "read_truths", lambda path: {})
  report = json.loads((trained / "report.json").read_text())
  (trained / "report.json").write_text(
    json.dumps({k: v for k, v in report.items() if k != "confidence"})
  )
  with pytest.raises(UserError, match="No validation unit"):
    _train(corpus, trained)
