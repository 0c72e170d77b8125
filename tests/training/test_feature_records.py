"""`milan-features`, and training from its data sets."""

import dataclasses
import functools
import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from milan_jax._src.decoding.region_encoder import encoder_params
from milan_jax._src.errors import UserError
from milan_jax._src.options.data import AnnotatedDataOptions
from milan_jax._src.options.train import FeaturesOptions, TrainOptions
from milan_jax._src.store.feature_records import META, FeatureRecords, open_records
from milan_jax._src.store.feature_store import open_features
from milan_jax._src.store.milannotations_job import run_action
from milan_jax._src.training import (
  batches,
  features_job,
  read_ahead,
  train_milan,
  training_run,
)
from milan_jax._src.training.trained_encoder import feature_key, trained_encoder
from tests.helpers.annotated_set import ENCODER, MODELS, UNITS, K, write_set
from tests.helpers.remote_paths import StandIn

tfds = pytest.importorskip("tensorflow_datasets")
pytest.importorskip("array_record")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
  root = tmp_path_factory.mktemp("sets")
  folders = [write_set(root / name, seed) for seed, name in enumerate("ab")]
  return ",".join(map(str, folders))


def _compute(workdir, **options):
  chosen = FeaturesOptions.of(workdir=str(workdir), **(ENCODER | options))
  return features_job.compute_features(chosen)


@pytest.fixture(scope="module")
def workdir(sets, tmp_path_factory):
  """A finished run of milan-features over two sets. Not to be changed."""
  workdir = tmp_path_factory.mktemp("features") / "run"
  _compute(workdir, exemplars=sets)
  return workdir


@pytest.fixture(scope="module")
def key():
  spec, _ = trained_encoder(FeaturesOptions.of(**ENCODER).model)
  return feature_key(spec, encoder_params(spec, None))


@pytest.fixture(scope="module")
def records(workdir, key):
  return open_records(workdir, key)


def _train(workdir, **options):
  training_run.train(TrainOptions.of(workdir=str(workdir), **(MODELS | options)))
  metrics = (workdir / "metrics.jsonl").read_text().splitlines()
  return [
    (line["model"], line["training"], line["validation"])
    for line in map(json.loads, metrics)
  ], (workdir / "milan" / "milan.safetensors").read_bytes()


@pytest.fixture(scope="module")
def trained(workdir, tmp_path_factory):
  """A finished training on the data set: its folder and results."""
  folder = tmp_path_factory.mktemp("trained") / "run"
  return folder, _train(folder, features=str(workdir), repeat="1,2")


def test_training_is_byte_equal_to_training_on_the_folders(sets, trained, tmp_path):
  folder, from_records = trained
  assert _train(tmp_path, exemplars=sets, repeat="1,2") == from_records
  cards = [
    json.loads((run / "milan" / "milan.json").read_text())["card"]
    for run in (tmp_path, folder)
  ]
  assert cards[0] == cards[1]
  assert (tmp_path / "split.csv").read_bytes() == (folder / "split.csv").read_bytes()


def test_records_are_the_features_in_order(workdir, records):
  store = open_features(workdir / "features")
  assert records.layers == store.layers == ("a:2", "a:one", "b:2", "b:one")
  assert (len(records), records.k) == (4 * (UNITS - 1), K)
  everything = store.read(0, len(store))
  assert np.ptp(everything) > 0
  rows = np.array([7, 0, 19, 7])
  np.testing.assert_array_equal(records.read_rows(rows), everything[rows])
  tables = records.tables()
  np.testing.assert_array_equal(tables["b:2"][np.array([1, 0])], everything[[11, 10]])
  assert tables["b:2"].shape == (UNITS - 1, K, records.feature_size)


def test_any_reader_of_tfds_reads_a_whole_record(records):
  source = tfds.builder_from_directory(records.folder).as_data_source("units")
  found = source[6]
  assert (found["layer"], found["unit"], found["sign"]) == (b"a:one", 1, b"on")
  expected = ["green things", "the green, ünd sky"]
  assert [text.decode() for text in found["captions"]] == expected
  assert found["split"] == b"validation"
  np.testing.assert_array_equal(found["features"], records.read_rows(np.array([6]))[0])


def test_reading_imports_no_tensorflow(records):
  script = (
    "import pathlib, sys, numpy\n"
    "from milan_jax._src.store.feature_records import FeatureRecords\n"
    "FeatureRecords(pathlib.Path(sys.argv[1])).read_rows(numpy.arange(3))\n"
    "sys.exit('tensorflow' in sys.modules)\n"
  )
  command = [sys.executable, "-c", script, str(records.folder)]
  assert subprocess.run(command).returncode == 0


def test_the_same_features_give_the_same_bytes(sets, workdir, records, tmp_path):
  shutil.copytree(workdir, tmp_path / "again")
  shutil.rmtree(tmp_path / "again" / "milan_features")
  again = _compute(tmp_path / "again", exemplars=sets)
  for path in records.folder.iterdir():
    assert (tmp_path / "again").joinpath(again, path.name).read_bytes() == (
      path.read_bytes()
    )


def test_processes_read_their_own_rows_of_a_batch(records):
  tokens = np.array([[8, 1, 2, 9], [8, 3, 9, 0], [8, 4, 5, 9]] * 7, np.int32)
  samples = batches.Samples(tokens, np.arange(20)[np.arange(21) % 20])
  read = []

  def gather(rows):
    read.append(len(rows))
    return records.read_rows(rows)

  make = functools.partial(batches.batches, batch_size=6, pad_id=0, num_devices=2)
  options = {"batch_size": 6, "gather": gather}
  whole = list(read_ahead.read_ahead(make, samples, **options))
  assert sum(read) == 21
  expected = list(make(samples, gather=records.read_rows))
  for found, batch in zip(whole, expected, strict=True):
    jax.tree.map(np.testing.assert_array_equal, found, batch)
  (last,) = read_ahead.read_ahead(make, samples, **options, start=3)
  jax.tree.map(np.testing.assert_array_equal, last, expected[3])
  assert not list(read_ahead.read_ahead(make, samples, **options, start=4))
  read.clear()

  def share(process):
    """A process that holds one half of each array."""

    def rows(number):
      return np.arange(number // 2) + process * (number // 2)

    return list(read_ahead.read_ahead(make, samples, **options, local_rows=rows))

  first, second = share(0), share(1)
  # The last batch has three captions: the second process reads one row for its shape.
  assert sum(read) == 21 + 1
  for batch, *own in zip(whole, first, second, strict=True):
    jax.tree.map(
      lambda array, *parts: np.testing.assert_array_equal(array, np.concatenate(parts)),
      batch,
      *own,
    )


def test_a_remote_data_set_is_copied_once_and_again_when_it_changes(
  sets, workdir, key, tmp_path, monkeypatch
):
  StandIn.keep_in(tmp_path / "bucket")
  monkeypatch.setenv("MILAN_JAX_CACHE", str(tmp_path / "cache"))
  shutil.copytree(workdir, tmp_path / "run")
  target = _compute(tmp_path / "run", exemplars=sets, out="stand-in://b/features")
  assert target.startswith("stand-in://b/features/milan_features/efficientnet-lite0-")
  stored = tmp_path / "bucket" / target.removeprefix("stand-in://")
  found = open_records("stand-in://b/features", key)
  assert found.folder.is_relative_to(tmp_path / "cache")
  np.testing.assert_array_equal(
    found.read_rows(np.arange(20)), open_records(workdir, key).read_rows(np.arange(20))
  )
  # A second command finds it in place; a second reader uses the copy.
  assert _compute(tmp_path / "run", exemplars=sets, out="stand-in://b/features")
  shards = [path for path in stored.iterdir() if "array_record" in path.name]
  for path in shards:
    path.unlink()
  assert open_records(target, key).folder == found.folder
  # Another content has another stamp.
  about = json.loads((stored / META).read_text())
  del about["crc32"]
  (stored / META).write_text(json.dumps(about | {"sha256": "0"}))
  with pytest.raises(UserError, match=r"array_record-00000 is missing"):
    open_records(target, key)


def test_features_of_recorded_exemplars_are_those_of_their_folder(sets, tmp_path):
  one = sets.split(",")[0]
  run_action("records", AnnotatedDataOptions(data=one, out=str(tmp_path / "sets")))
  found = [
    FeatureRecords(tmp_path / name / _compute(tmp_path / name, exemplars=exemplars))
    for name, exemplars in (("folder", one), ("records", str(tmp_path / "sets")))
  ]
  assert found[0].digest == found[1].digest
  rows = np.arange(len(found[0]))
  np.testing.assert_array_equal(*(each.read_rows(rows) for each in found))


def test_other_exemplars_do_not_replace_a_data_set(sets, tmp_path):
  one, other = sets.split(",")
  _compute(tmp_path / "a", exemplars=one, out=str(tmp_path / "out"))
  with pytest.raises(UserError, match="holds features of other exemplars or captions"):
    _compute(tmp_path / "b", exemplars=other, out=str(tmp_path / "out"))
  with pytest.raises(UserError, match=r"exemplars: .* since this run began"):
    _compute(tmp_path / "a", exemplars=other)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"encoder_layers": "act1"}, r"has levels \['act0'\] instead of \['act1'\]"),
    ({"pooling": "placed"}, "has pooling inside instead of placed"),
    ({"exemplars": "x"}, "exemplars cannot be given; give them to milan-features"),
    ({"max_annotations": 2}, "max_annotations cannot be given"),
    ({"features": "nowhere"}, "expected a folder that milan-features wrote"),
    ({"features": "nowhere://x"}, "nowhere://x cannot be opened"),
    ({"repeat": "1,2,3"}, "repeat=1,2,3: expected"),
  ],
)
def test_what_does_not_fit_is_refused(workdir, tmp_path, options, message):
  options = {"features": str(workdir)} | options
  with pytest.raises(UserError, match=message):
    _train(tmp_path / "run", **options)


def test_other_weights_and_versions_do_not_fit(workdir, key):
  changed = dataclasses.replace(key, parameters="0" * 64)
  with pytest.raises(UserError, match="has other weights of efficientnet-lite0"):
    open_records(workdir, changed)
  with pytest.raises(UserError, match="has version 1 instead of 2"):
    open_records(workdir, dataclasses.replace(key, version=2))


def test_damaged_data_sets_are_refused(records, tmp_path):
  folder = tmp_path / "damaged"
  shutil.copytree(records.folder, folder)
  (path,) = folder.glob("*array_record*")
  whole = path.read_bytes()
  path.write_bytes(whole[:-1])
  with pytest.raises(UserError, match=rf"has {len(whole) - 1} bytes, expected"):
    FeatureRecords(folder)
  middle = len(whole) // 2
  path.write_bytes(whole[:middle] + bytes(64) + whole[middle + 64 :])
  with pytest.raises(UserError, match=r"a record cannot be read|cannot be opened"):
    FeatureRecords(folder).read_rows(np.arange(20))
  about = (folder / META).read_text()
  (folder / META).write_text(about.replace('"k": 2', '"k": 3'))
  with pytest.raises(UserError, match="was changed after it was written"):
    FeatureRecords(folder)


def test_a_run_on_a_remote_workdir_resumes_on_another_machine(
  workdir, trained, tmp_path, monkeypatch
):
  StandIn.keep_in(tmp_path / "store")
  options = MODELS | {"features": str(workdir), "workdir": "stand-in://b/run"}
  options["repeat"] = "1,2"

  class PreemptedError(Exception):
    pass

  def stop(*_):
    raise PreemptedError

  # The first machine is gone after the last epoch, before the release is written.
  monkeypatch.setenv("MILAN_JAX_CACHE", str(tmp_path / "first"))
  with monkeypatch.context() as patched:
    patched.setattr(train_milan.release, "save_release", stop)
    with pytest.raises(PreemptedError):
      training_run.train(TrainOptions.of(**options))
  shutil.rmtree(tmp_path / "first")
  monkeypatch.setenv("MILAN_JAX_CACHE", str(tmp_path / "second"))
  training_run.train(TrainOptions.of(**options))
  store = tmp_path / "store" / "b" / "run"
  assert (store / "milan" / "milan.safetensors").read_bytes() == trained[1][1]
  epochs = (store / "metrics.jsonl").read_text().splitlines()
  assert len(epochs) == 2 * MODELS["max_epochs"]
  assert not (store / "features").exists()
  with pytest.raises(UserError, match="several processes need one folder"):
    training_run.train(TrainOptions.of(**options, num_processes=2, coordinator="a:1"))
