"""A whole training run: what it learns, what it writes, and being killed."""

import dataclasses
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from milan_jax._src import errors
from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.word_detectors import word_log_probs
from milan_jax._src.options.train import TrainOptions
from milan_jax._src.store import release
from milan_jax._src.text import reconstruction, vocabulary
from milan_jax._src.text.bleu import bleu
from milan_jax._src.training import objectives, train_milan
from milan_jax._src.training.splitting import Split
from milan_jax._src.training.training_data import find_annotated
from milan_jax._src.training.training_job import TrainingJob
from tests.training import trained

ROOT = pathlib.Path(__file__).resolve().parents[2]


def digests(workdir):
  return {
    path.name: hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted((workdir / train_milan.RELEASE).iterdir())
  }


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory):
  """Keeps compiled programs: most runs here are of the same ones."""
  folder = os.fspath(tmp_path_factory.mktemp("compiled"))
  values = {
    "jax_compilation_cache_dir": folder,
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": 0,
  }
  before = {name: getattr(jax.config, name) for name in values}
  for name, value in values.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()
  yield os.environ | {name.upper(): str(value) for name, value in values.items()}
  for name, value in before.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("unbroken")
  return workdir, trained.train(workdir)


# A schedule is part of a program: runs of any length share those of a constant rate.
CONSTANT = {"cosine_decay": False}


def killed(workdir, at, environment):
  command = [
    sys.executable,
    "-m",
    "tests.training.trained",
    os.fspath(workdir),
    str(at),
  ]
  return subprocess.run(command, cwd=ROOT, env=environment).returncode


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path, unbroken, compiled):
  expected, _ = unbroken
  steps = 6  # 96 captions of the training part in batches of 16
  # In the language model's first epoch, after its checkpoint at step 2 and at step 3;
  # then in the captioner's second epoch, after its checkpoint at step 4; then in the
  # word detectors' second epoch, of two batches of units.
  assert killed(tmp_path, 3, compiled) == -signal.SIGKILL
  assert not (tmp_path / train_milan.METRICS).exists()
  assert killed(tmp_path, (steps - 2) + steps + steps + 5, compiled) == -signal.SIGKILL
  lines = (tmp_path / train_milan.METRICS).read_text().splitlines()
  models = [json.loads(line)["model"] for line in lines]
  assert models == ["language_model"] * 2 + ["captioner"]
  assert killed(tmp_path, 2 + 2 + 1, compiled) == -signal.SIGKILL
  lines = (tmp_path / train_milan.METRICS).read_text().splitlines()
  assert json.loads(lines[-1])["model"] == "word_detectors"
  seen = []
  report = trained.train(tmp_path, progress=lambda done, total: seen.append(done))
  assert seen == [1, 2]
  assert digests(tmp_path) == digests(expected)
  assert set(digests(tmp_path)) == {release.JSON_FILE, release.TENSORS_FILE}
  assert report["losses"] == unbroken[1]["losses"]


def test_what_the_report_says(unbroken):
  workdir, report = unbroken
  assert json.loads((workdir / train_milan.REPORT).read_text()) == report
  assert report["units"] == {"training": 32, "validation": 4, "test": 4}
  assert report["captions"] == {"training": 96, "validation": 12, "test": 12}
  for model, losses in report["losses"].items():
    epochs = [epoch for epoch in report["epochs"] if epoch["model"] == model]
    assert len(epochs) == 2
    sign = -1 if model == "captioner" else 1
    by = losses["stopped_by"]
    assert by == ("bleu" if model == "captioner" else "nll")
    best = min(epochs, key=lambda epoch: sign * epoch["validation"][by])
    assert losses["epoch"] == best["epoch"]
    assert losses["validation"] == best["validation"]
  assert list(report["losses"]) == ["language_model", "captioner", "word_detectors"]
  test = report["losses"]["captioner"]["test"]
  assert test["loss"] == pytest.approx(test["nll"] + test["attention"])


def test_a_run_of_a_version_without_an_option_is_one_at_its_implied_value():
  assert train_milan.recorded({"order": "random", "seed": 0}) == {"seed": 0}
  assert train_milan.recorded({"order": "length"}) == {"order": "length"}
  old = {"data": None, "data_root": None, "min_annotations": 1, "max_annotations": None}
  assert train_milan.recorded(old) == {}
  assert train_milan.recorded({"word_weight": 0.0, "word_hidden_size": 512}) == {}
  assert train_milan.recorded({"word_hidden_layers": 1, "word_members": 1}) == {}
  assert train_milan.recorded({"word_dropout": 0.5}) == {"word_dropout": 0.5}


def test_a_finished_run_is_not_run_again(unbroken):
  workdir, report = unbroken
  before = digests(workdir)
  assert trained.train(workdir, progress=lambda *_: pytest.fail("trained")) == report
  assert digests(workdir) == before


def test_features_of_another_encoder_are_found_out_before_training(tmp_path):
  features, captions = trained.data()
  with pytest.raises(errors.UserError, match="feature_size must be 192"):
    train_milan.train_milan(
      train_milan.AnnotatedFeatures(
        {"4": features}, {"4": trained.units("4", 40)}, captions
      ),
      train_milan.TrainedEncoder(
        dataclasses.replace(trained.ENCODER, levels=("layer1", "layer2"))
      ),
      TrainOptions.of(
        hidden_size=32, embedding_size=8, lm_hidden_size=16, lm_embedding_size=8
      ),
      tmp_path,
      progress=lambda *_: pytest.fail("trained"),
    )


def test_another_configuration_is_refused(unbroken):
  with pytest.raises(errors.UserError, match="patience is 4 there and 5 here"):
    trained.train(unbroken[0], patience=5)
  with pytest.raises(errors.UserError, match="stop_by is 'bleu' there and 'nll' here"):
    trained.train(unbroken[0], stop_by="nll")


def test_other_data_is_refused(unbroken, monkeypatch):
  features, captions = trained.data()
  features[0] += 1
  monkeypatch.setattr(trained, "data", lambda: (features, captions))
  with pytest.raises(errors.UserError, match="data is"):
    trained.train(unbroken[0])


def test_annotations_of_other_layers_are_refused(tmp_path):
  features, captions = trained.data()
  with pytest.raises(errors.UserError, match=r"annotations are of layers \['4'\]"):
    train_milan.train_milan(
      train_milan.AnnotatedFeatures(
        {"conv4": features}, {"conv4": trained.units("conv4", 40)}, captions
      ),
      train_milan.TrainedEncoder(trained.ENCODER),
      TrainOptions(),
      tmp_path / "run",
    )
  assert not (tmp_path / "run").exists()


def test_features_that_are_no_numbers_are_found_out(tmp_path, monkeypatch):
  features, captions = trained.data()
  features[:, 0, 0] = np.nan
  monkeypatch.setattr(trained, "data", lambda: (features, captions))
  with pytest.raises(errors.UserError, match="are not finite"):
    trained.train(tmp_path)


def test_a_tiny_set_is_learnt_by_heart(tmp_path):
  report = trained.train(
    tmp_path, max_epochs=30, patience=30, checkpoint_every=100, **CONSTANT
  )
  learnt = release.load_release(tmp_path / train_milan.RELEASE)
  words = vocabulary.Vocabulary(learnt.vocabulary)
  sizes = learnt.captioner
  model = Captioner(
    sizes.vocab_size, sizes.feature_size, sizes.hidden_size, sizes.embedding_size
  )
  features, captions = trained.data()
  variables = {"params": learnt.params["captioner"]}
  read = jax.jit(
    lambda tokens: model.apply(variables, jnp.asarray(features), tokens)[0]
  )
  tokens = jnp.full((40, 9), words.pad_id).at[:, 0].set(words.start_id)
  for i in range(8):
    tokens = tokens.at[:, i + 1].set(read(tokens)[:, i].argmax(axis=-1))
  said = [reconstruction.reconstruct_ids(np.asarray(row), words) for row in tokens]
  written = [summaries[0] for summaries in captions.values()]
  assert [sentence.lower() for sentence in said] == [
    summary.replace("dogs'", "dogs '") for summary in written
  ]
  epochs = [epoch for epoch in report["epochs"] if epoch["model"] == "captioner"]
  scores = [epoch["validation"]["bleu"] for epoch in epochs]
  losses = report["losses"]["captioner"]
  assert losses["stopped_by"] == "bleu" and losses["epoch"] == int(np.argmax(scores))
  assert scores[0] < losses["validation"]["bleu"] == max(scores)
  # The units of the test part, by the seed of the split.
  test = np.sort(np.random.default_rng(0).permutation(40)[4:8])
  expected = bleu(
    [said[row].lower() for row in test], [[written[row]] * 3 for row in test]
  )
  assert losses["test"]["bleu"] == pytest.approx(expected)


def test_captions_of_some_units_are_taken_several_times(tmp_path):
  features, captions = trained.data()
  units = trained.units("4", 40)
  repeats = {unit: 1 + unit.index % 3 for unit in units}
  found = find_annotated({"4": features}, {"4": units}, captions, repeats)
  rows = Split(*(np.arange(*each) for each in ((0, 30), (30, 35), (35, 40))))
  job = TrainingJob(
    found,
    rows,
    train_milan.TrainedEncoder(trained.ENCODER),
    TrainOptions(),
    8,
    tmp_path,
  )
  counts = [len(captions[unit]) for unit in units]
  expected = sum(counts[row] * (1 + row % 3) for row in range(30))
  assert job.num_captions == {
    "training": expected,
    "validation": sum(counts[30:35]),
    "test": sum(counts[35:]),
  }


def test_a_transformer_trains_in_bfloat16_and_is_released(tmp_path):
  options = {"lm_architecture": "transformer", "compute_dtype": "bfloat16"}
  # No more programs than its two models need.
  options |= {"stop_by": "nll", "word_weight": 0.0}
  report = trained.train(tmp_path, max_epochs=3, **options)
  learnt = release.load_release(tmp_path / train_milan.RELEASE)
  assert learnt.language_model.architecture == "transformer"
  assert learnt.params["language_model"]["block_1"]["mix"]["kernel"].shape == (16, 16)
  losses = [
    epoch["training"]["nll"]
    for epoch in report["epochs"]
    if epoch["model"] == "language_model"
  ]
  assert losses[0] > losses[1] > losses[2]


def test_the_word_detectors_of_a_captioner_know_its_words(tmp_path):
  report = trained.train(
    tmp_path,
    max_epochs=6,
    patience=6,
    word_weight=2.0,
    word_hidden_size=32,
    word_hidden_layers=2,
    word_members=2,
    word_dropout=0.1,
    coverage=4.0,
    release_dtype="float16",
    **CONSTANT,
  )
  learnt = release.load_release(tmp_path / train_milan.RELEASE)
  assert learnt.decoding.word_weight == 2.0
  assert learnt.decoding.coverage == 4.0
  spec = learnt.word_detectors
  assert (spec.hidden_size, spec.hidden_layers, spec.members) == (32, 2, 2)
  assert sorted(learnt.params["word_detectors"]) == ["hidden", "hidden_2", "output"]
  words = learnt.word_detectors.words
  assert {"red", "sky", "animal", "nose"} <= set(words)
  assert not {"of", "the", "and"} & set(words)
  own = [e for e in report["epochs"] if e["model"] == "word_detectors"]
  assert (
    own[0]["validation"]["nll"]
    > report["losses"]["word_detectors"]["validation"]["nll"]
  )
  features, captions = trained.data()
  log_probs = np.asarray(
    word_log_probs(
      jax.tree.map(jnp.asarray, learnt.params["word_detectors"]), jnp.asarray(features)
    )
  )
  for row, summaries in zip(log_probs, captions.values(), strict=True):
    for word in ("red", "sky", "animal", "nose"):
      is_said = word in summaries[0] or (word == "nose" and "noses" in summaries[0])
      assert (row[words.index(word)] > np.log(0.5)) == is_said


def test_word_detectors_compile_one_program_to_train_and_one_to_evaluate(
  tmp_path, monkeypatch
):
  make, seen = objectives.word_detectors_objective, set()

  def watched(*args, **options):
    objective = make(*args, **options)

    def traced(params, batch, key):
      seen.add((key is None, *(array.shape for array in jax.tree.leaves(batch))))
      return objective(params, batch, key)

    return traced

  monkeypatch.setattr(objectives, "word_detectors_objective", watched)
  # Units have up to four words, and the last batch is not full.
  trained.train(tmp_path, max_epochs=1, **CONSTANT)
  assert sorted(is_evaluation for is_evaluation, *_ in seen) == [False, True]


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"warmup_steps": 5, "cosine_decay": True}, "warmup_steps=5: expected fewer than"),
    ({"accumulate_steps": 5}, "accumulate_steps=5: expected at most the 4 steps"),
  ],
)
def test_too_few_steps_of_a_later_model_are_found_before_training(
  tmp_path, options, message
):
  """Of the word detectors, which have 2 batches of units an epoch, and 2 epochs."""
  with pytest.raises(errors.UserError, match=message):
    trained.train(tmp_path, progress=lambda *_: pytest.fail("trained"), **options)


@pytest.mark.parametrize("option", ["word_weight", "coverage"])
def test_word_detectors_need_words_that_units_share(tmp_path, option):
  features, _ = trained.data()
  captions = {unit: ("red things",) for unit in trained.units("4", 40)}
  with pytest.raises(errors.UserError, match=f"{option}=2.*: expected training units"):
    train_milan.train_milan(
      train_milan.AnnotatedFeatures(
        {"4": features}, {"4": trained.units("4", 40)}, captions
      ),
      train_milan.TrainedEncoder(trained.ENCODER),
      TrainOptions.of(**{option: 2.0}),
      tmp_path,
    )
