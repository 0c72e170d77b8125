"""Two processes that train together, on a data set that each reads its rows of."""

import json
import os
import sys

import numpy as np
import pytest

from milan_jax._src.options.train import FeaturesOptions, TrainOptions
from milan_jax._src.store.release import load_release
from milan_jax._src.training import features_job, training_run
from tests.helpers.annotated_set import ENCODER, MODELS, write_set
from tests.helpers.together import ROOT, free_port, run_together

pytest.importorskip("tensorflow_datasets")
pytest.importorskip("array_record")


def _results(workdir):
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  names = ("model", "epoch", "training", "validation", "improved")
  return [{name: line[name] for name in names} for line in map(json.loads, lines)]


def test_two_processes_train_as_one_does(tmp_path):
  sets, features = write_set(tmp_path / "set", 0), tmp_path / "features"
  features_job.compute_features(
    FeaturesOptions.of(exemplars=str(sets), workdir=str(features), **ENCODER)
  )
  # Dropout is on; the last batch of an epoch is smaller than the others.
  options = MODELS | {"features": str(features), "batch_size": 6, "max_epochs": 1}
  one, two = tmp_path / "one", tmp_path / "two"
  training_run.train(TrainOptions.of(workdir=str(one), **options))

  command = [sys.executable, str(ROOT / "train.py"), f"--workdir={two}"]
  command += [f"--{name}={value}" for name, value in options.items()]
  command += [f"--coordinator=127.0.0.1:{free_port()}", "--num_processes=2"]
  commands = [[*command, f"--process_id={number}"] for number in range(2)]
  environment = os.environ | {"JAX_PLATFORMS": "cpu", "NPROC": "2", "XLA_FLAGS": ""}
  assert run_together(commands, environment, timeout=900) == [0, 0]

  expected, found = _results(one), _results(two)
  assert len(found) == len(expected) == 2
  for ours, theirs in zip(found, expected, strict=True):
    for part in ("training", "validation"):
      assert ours.pop(part) == pytest.approx(theirs.pop(part), abs=1e-5)
    assert ours == theirs
  weights = [load_release(workdir / "milan").params for workdir in (one, two)]
  for name in ("captioner", "language_model"):
    output = [each[name]["output"]["kernel"] for each in weights]
    np.testing.assert_allclose(*output, atol=1e-5)
  assert (two / "split.csv").read_bytes() == (one / "split.csv").read_bytes()
  assert not (two / ".begun").exists()
