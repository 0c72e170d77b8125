"""The trainer on the recorded captions: each epoch is one recorded step.

As a program, it writes the results on all devices of its process, and those of a step
with dropout.
"""

import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.word_detectors import WordDetectors
from milan_jax._src.runs.mesh import make_mesh
from milan_jax._src.training import batches, loop, losses, objectives, state, step
from tests.training import reference_models as models


class Fitted(NamedTuple):
  """The losses of each epoch, in training and after it, and the first gradients."""

  training: list[dict[str, float]]
  validation: list[dict[str, float]]
  gradients: Any


class Last:
  """Keeps the first moments of the first update from the checkpoints."""

  def __init__(self, after: int):
    self._after = after
    self.moments: Any = None

  def latest(self):
    return None

  def save(self, step, arrays, progress):
    if step == self._after:
      is_adam = lambda x: isinstance(x, optax.ScaleByAdamState)  # noqa: E731
      found = jax.tree.leaves(arrays.train_state.opt_state, is_leaf=is_adam)
      (adam,) = filter(is_adam, found)
      self.moments = jax.tree.map(np.asarray, adam.mu)

  def restore(self, step, like):
    raise AssertionError("nothing is kept")


def fit(name, *, gather=None, dtype="float32", accumulate=1, epochs=4):
  """Fits a recorded model as `milan-train` does by default, without dropout."""
  arrays, _ = models.training_reference()
  first = np.full((len(arrays["targets"]), 1), models.START)
  tokens = np.concatenate([first, arrays["targets"]], axis=1).astype(np.int32)
  samples = batches.Samples(tokens, arrays["unit"])
  tensors = models.weights()
  options = {"pad_id": models.PAD, "dtype": dtype}
  if name == "captioner":
    params = models.captioner_params(tensors)
    terms = objectives.CAPTIONER_TERMS
    model = models.CAPTIONER.clone(dropout=0.0)
    objective = objectives.captioner_objective(model, **options)
  else:
    own = {key[3:]: value for key, value in tensors.items() if key.startswith("lm.")}
    params = models.language_model_params(own)
    terms = objectives.LANGUAGE_MODEL_TERMS
    language_model = models.LANGUAGE_MODEL.clone(dropout=0.0)
    objective = objectives.language_model_objective(language_model, **options)
  trainer = loop.Trainer(
    objective,
    terms=terms,
    optimizer=state.make_optimizer(accumulate_steps=accumulate),
    batch_size=len(tokens),
    pad_id=models.PAD,
    gather=gather,
    order="length",
    lengths=batches.choose_lengths(samples, pad_id=models.PAD),
  )
  kept = Last(accumulate)
  fitted = trainer.fit(
    jax.tree.map(jnp.asarray, params),
    training=samples,
    validation=samples,
    checkpoints=kept,
    options=loop.FitOptions(max_epochs=accumulate * epochs),
  )
  return Fitted(
    [epoch.training for epoch in fitted.epochs],
    [epoch.validation for epoch in fitted.epochs],
    # AdamW's first moments after one update are a tenth of its gradient.
    jax.tree.map(lambda moment: 10 * moment, kept.moments),
  )


def features_of_units():
  """The features of each recorded unit."""
  arrays, _ = models.training_reference()
  found = np.zeros((arrays["unit"].max() + 1, *arrays["features"].shape[1:]), "f4")
  found[arrays["unit"]] = arrays["features"]
  return found


def losses_of(fitted):
  """The recorded columns: NLL, attention and their sum, before each step."""
  return [[e["nll"], e["attention"], e["loss"]] for e in fitted.training]


def steps_with_dropout():
  """The loss and the gradients of a step of two models, on all devices.

  Of the captioner, and of the word detectors, for which a caption's tokens are words.
  """
  rng = np.random.default_rng(0)
  # Fourteen captions of uneven lengths, and two rows that only fill the batch.
  tokens = rng.integers(0, 20, size=(16, 7))
  for row, length in zip(tokens, rng.integers(1, 6, size=16), strict=True):
    row[0], row[length], row[length + 1 :] = 20, 21, 22
  weights = np.ones(16, np.float32)
  weights[14:] = 0
  features = rng.normal(size=(16, 3, 5)).astype("f4")
  batch = batches.Batch(tokens[:, :-1], tokens[:, 1:], weights, features)
  captioner = Captioner(24, 5, hidden_size=8, embedding_size=4)
  inputs = jnp.zeros((1, 3, 5)), jnp.zeros((1, 1), int)
  detectors, changed = WordDetectors(20, 8), objectives.Augmentation(0.3, True, 0.5)
  found = _step(
    rng,
    jax.eval_shape(captioner.init, jax.random.key(0), *inputs)["params"],
    objectives.captioner_objective(captioner, pad_id=22, augmentation=changed),
    objectives.CAPTIONER_TERMS,
    batch,
  )
  return found + _step(
    rng,
    jax.eval_shape(detectors.init, jax.random.key(0), jnp.zeros((1, 5)))["params"],
    objectives.word_detectors_objective(detectors, augmentation=changed),
    objectives.WORD_DETECTOR_TERMS,
    batch,
  )


def _step(rng, shapes, objective, terms, batch):
  params = jax.tree.map(
    lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype), shapes
  )
  mesh, optimizer = make_mesh(), state.make_optimizer()
  after, found = step.make_step(objective, optimizer)(
    step.replicate(state.start_state(params, optimizer=optimizer, seed=0), mesh),
    step.replicate(losses.no_terms(terms), mesh),
    step.shard(batch, mesh),
  )
  gradients = jax.tree.map(lambda moment: 10 * moment, after.opt_state[0].mu)
  return list(
    map(np.asarray, (losses.sum_of_means(found), *jax.tree.leaves(gradients)))
  )


if __name__ == "__main__":
  table = features_of_units()
  recorded = losses_of(fit("captioner", gather=lambda rows: table[rows]))
  own = steps_with_dropout()
  np.savez(sys.argv[1], jax.device_count(), np.array(recorded), *own)
