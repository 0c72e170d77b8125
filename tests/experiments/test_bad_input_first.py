"""Bad input is reported before a library that is not installed."""

import sys

import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.experiments import generalize as generalization
from milan_jax._src.experiments import sweep as sweeping
from milan_jax._src.experiments.generalize import generalize
from milan_jax._src.experiments.score_job import score_files
from milan_jax._src.experiments.sweep import sweep
from milan_jax._src.options.experiments import (
  GeneralizeOptions,
  ScoreOptions,
  SweepOptions,
)
from milan_jax._src.options.train import FeaturesOptions, TrainOptions
from milan_jax._src.training.features_job import compute_features
from milan_jax._src.training.training_run import train


@pytest.fixture
def bare(monkeypatch):
  """None of the optional libraries is installed."""
  for name in (
    *("spacy", "rouge_score.rouge_scorer", "sacrebleu.metrics.bleu"),
    *("tensorflow_datasets", "torch", "transformers"),
  ):
    monkeypatch.setitem(sys.modules, name, None)


EXPERIMENTS = ((generalize, GeneralizeOptions), (sweep, SweepOptions))
WRONG = [
  (generalize, GeneralizeOptions, {"data": ".", "experiments": "x"}, "'x' is unknown"),
  (sweep, SweepOptions, {"data": ".", "strategies": "x"}, "found 'x'"),
  *(
    (command, options, changed, words)
    for command, options in EXPERIMENTS
    for changed, words in (
      ({}, "--data: give"),
      ({"data": "/nowhere"}, "--data: '/nowhere' is neither"),
      ({"data": ".", "units": 1}, "--units: expected 3"),
      ({"data": ".", "test_fraction": 1.0}, "--test_fraction: expected a number"),
      ({"data": ".", "validation_fraction": 0.95}, "expected a sum below 1"),
      ({"data": ".", "min_annotations": 0}, "--min_annotations=0"),
      ({"data": ".", "bert_score": "x", "bert_layer": 0}, "--bert_layer: expected 1"),
      ({"data": ".", "bert_score": "x", "bert_baseline": "/n"}, "--bert_baseline=/n"),
    )
  ),
  (score_files, ScoreOptions, {"descriptions": "a.csv"}, "--annotations: give"),
  (score_files, ScoreOptions, {"descriptions": "/n", "annotations": "/n"}, "=/n"),
  (train, TrainOptions, {"exemplars": "/nowhere"}, "there is no folder /nowhere"),
  (train, TrainOptions, {"data": ".", "validation_fraction": 0.0}, "a number between"),
  (train, TrainOptions, {"data": "alexnot"}, "--data: 'alexnot' is neither"),
  (compute_features, FeaturesOptions, {"exemplars": "/nowhere"}, "no folder /nowhere"),
]


@pytest.mark.parametrize(("command", "options", "changed", "words"), WRONG)
def test_bad_input_is_reported_before_a_missing_library(
  bare, tmp_path, monkeypatch, command, options, changed, words
):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(UserError) as error:
    command(options.of(**changed))
  assert words in error.value.for_command_line


@pytest.mark.parametrize(("command", "options"), EXPERIMENTS)
def test_a_wrong_encoder_is_found_before_networks_are_downloaded(
  tmp_path, monkeypatch, command, options
):
  pytest.importorskip("sacrebleu", reason="the extra `scores` is not installed")
  for module in (generalization, sweeping):
    monkeypatch.setattr(
      module, "read_experiment_sets", lambda *_, **__: pytest.fail("read")
    )
  with pytest.raises(UserError, match="resnet19"):
    command(options.of(data="base", encoder="resnet19", workdir=str(tmp_path)))


@pytest.mark.parametrize(("command", "options"), EXPERIMENTS)
def test_a_missing_library_is_reported(bare, tmp_path, monkeypatch, command, options):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(UserError, match="pip install 'milan-jax"):
    command(options.of(data="."))
