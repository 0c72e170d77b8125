"""`milan-train --compile_only`, on this machine's processor in place of a device."""

import re

import jax
import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.lab.benchmark import compile_training as module
from milan_jax._src.lab.benchmark.programs import Program
from milan_jax._src.options.train import TrainOptions
from tests.helpers.commands import run_here

SIZES = {
  **{"encoder": "resnet18", "hidden_size": 8, "embedding_size": 4, "attention_size": 6},
  **{"lm_hidden_size": 5, "lm_embedding_size": 3, "lm_layers": 1, "batch_size": 3},
  **{"lm_batch_size": 2, "length": 10, "order": "random"},
}
FEATURES = 64 + 64 + 128 + 256 + 512


@pytest.fixture
def processor(monkeypatch):
  monkeypatch.setattr(module, "target_devices", lambda name, option: jax.devices()[:1])
  monkeypatch.setattr(module, "VOCAB_SIZE", 20)
  monkeypatch.setattr(module, "NUM_DETECTED", 9)


def _rows(printed):
  lines = [line for line in printed.splitlines() if line.startswith("|")]
  head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
  return [dict(zip(head, row, strict=True)) for row in rows]


@pytest.fixture
def seen(processor, monkeypatch):
  """The rows of the programs that are compiled."""
  found = []
  compile_program = module.compiled.compile_program

  def compile_one(*args, **kwargs):
    found.append(compile_program(*args, **kwargs))
    return found[-1]

  monkeypatch.setattr(module.compiled, "compile_program", compile_one)
  return found


def test_memory_and_operations_are_those_of_the_sizes(seen):
  printed = module.compile_training(TrainOptions.of(**SIZES), "h100")
  language_model, captioner = _rows(printed)
  assert language_model["program"] == "language_model_step"
  assert (language_model["batch"], captioner["batch"]) == ("2", "3")
  # In random order, 10 tokens and the stop, rounded up.
  assert language_model["length"] == captioner["length"] == "16"
  h, e, v, f = 8, 4, 20, FEATURES
  weights = 2 * (f * h + h) + v * e + (h * 6 + 6) + (f * 6 + 6) + (6 + 1) + (h * f + f)
  weights += 4 * h * (e + f) + 4 * h * h + 8 * h + h * v + v
  # Weights and two moments, and the batch: features, tokens twice, weights of rows.
  expected = 4 * (3 * weights + 3 * 15 * f + 2 * 3 * 16 + 3)
  # The number of the step, keys and losses are a few numbers.
  assert 0 <= seen[1]["arguments_mb"] * 1e6 - expected < 200
  h, e = 5, 3
  weights = v * e + 4 * h * (e + h) + 8 * h + h * v + v
  expected = 4 * (3 * weights + 2 * 2 * 16 + 2)
  assert 0 <= seen[0]["arguments_mb"] * 1e6 - expected < 200
  assert "20 words, 15 regions a unit, captions padded to 16 tokens" in printed
  assert f"reads {3 * 15 * FEATURES * 4 / 1e6:.0f} MB of features" in printed
  # No peak is known of a processor.
  assert captioner["least ms"] == "-" and captioner["collectives"] == "-"


@pytest.mark.parametrize("option", ["word_weight", "coverage"])
def test_word_detectors_are_compiled_where_the_options_ask_for_them(seen, option):
  detectors = {option: 2.0, "word_hidden_size": 7}
  printed = module.compile_training(TrainOptions.of(**SIZES, **detectors), "h100")
  *_, captioner, row = _rows(printed)
  assert captioner["program"] == "captioner_step"
  assert (row["program"], row["batch"]) == ("word_detectors_step", "3")
  h, words, f = 7, 9, FEATURES
  weights = f * h + h + h * words + words
  # Weights and two moments, and the batch: features, targets, weights of rows.
  expected = 4 * (3 * weights + 3 * 15 * f + 3 * (module.WORDS_OF_UNIT + 1) + 3)
  assert 0 <= seen[2]["arguments_mb"] * 1e6 - expected < 200
  assert "20 words, 9 with a detector, 15 regions a unit, captions padded to 16" in (
    printed
  )


def test_features_are_augmented_as_in_training(seen):
  module.compile_training(TrainOptions.of(**SIZES), "h100")
  module.compile_training(TrainOptions.of(**SIZES, feature_noise=0.1), "h100")
  captioner, augmented = seen[1], seen[3]
  # One more copy of the features is made.
  added = (augmented["temp_mb"] - captioner["temp_mb"]) * 1e6
  assert added >= 3 * 15 * FEATURES * 4


@pytest.mark.parametrize(
  ("options", "size"),
  [
    ({"encoder": "resnet18"}, FEATURES),
    ({"encoder": "resnet18", "encoder_layers": "layer4"}, 512),
    ({"encoder": "resnet18", "pooling": "placed"}, FEATURES + 11),
    ({"encoder": "resnet101"}, 3904),
    ({"projection": "3, 4,5"}, 12),
  ],
)
def test_the_captioner_sees_as_many_features_as_in_training(options, size):
  assert module._feature_size(TrainOptions.of(**options).model) == size


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (
      ("--compile_only=h101",),
      "--compile_only: expected h100, h200, or a TPU topology",
    ),
    (("--compile_only=h100", "--encoder=none"), "none"),
    (("--compile_only=h100", "--batch_size=0"), "--batch_size: expected 1 to"),
  ],
)
def test_bad_input_is_one_line(flags, message):
  found = run_here("train", *flags)
  assert found.returncode == 2
  assert message in found.stderr and "Traceback" not in found.stderr


def test_a_projection_of_no_numbers_is_refused():
  with pytest.raises(UserError, match=re.escape("projection=a,b: expected whole")):
    module._feature_size(TrainOptions.of(projection="a,b").model)


class _TooLarge:
  """A lowered program that needs more memory than a device has."""

  def compile(self):
    raise RuntimeError("RESOURCE_EXHAUSTED: 20.1G of 15.7G hbm")


def test_a_step_that_does_not_fit_names_the_options_of_training(processor, monkeypatch):
  step = Program("captioner_step", "float32", 64, 1, {}, lower=_TooLarge)
  monkeypatch.setattr(module, "_programs", lambda *given: [step])
  with pytest.raises(UserError) as error:
    module.compile_training(TrainOptions.of(**SIZES), "h100")
  words = error.value.for_command_line
  assert "captioner_step, float32, batch 64 does not compile for h100: RESO" in words
  assert words.endswith("use smaller --batch_size and --lm_batch_size, or --length.")
