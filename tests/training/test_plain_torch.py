"""Two epochs of both models, step by step, beside plain torch.

The torch step is that of the benchmark: captions padded to the longest of their batch,
an output layer over every position, autograd and torch's AdamW.
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.language_model import LanguageModel
from milan_jax._src.training import batches, losses, objectives, state, step

VOCAB, FEATURES, K, HIDDEN, EMBEDDING = 60, 24, 5, 16, 8
START, STOP, PAD = VOCAB - 4, VOCAB - 3, VOCAB - 2
UNITS, BATCH = 60, 64

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def plain():
  sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
  try:
    import plain_torch_training
  finally:
    sys.path.pop(0)
  return plain_torch_training


@pytest.fixture(scope="module")
def samples():
  """Three captions of each unit, as long as people write them."""
  rng = np.random.default_rng(0)
  # Quantiles of the tokens of human annotations.
  quantiles = np.array([1, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 6, 6, 7, 8, 10, 14, 26])
  lengths = rng.permutation(np.resize(quantiles, 3 * UNITS))
  tokens = np.full((len(lengths), lengths.max() + 2), PAD, np.int32)
  for row, number in zip(tokens, lengths, strict=True):
    row[0], row[number + 1] = START, STOP
    row[1 : number + 1] = rng.integers(0, START, size=number)
  return batches.Samples(tokens, np.repeat(np.arange(UNITS), 3))


def tensors_of(params, names):
  """Arranges our parameters as a torch module's state."""
  state_dict = {}
  for ours, theirs in names.items():
    tree = params
    for part in ours.split("/"):
      tree = tree[part]
    if "input_kernel" in tree:
      layer = theirs.rpartition("_l")[1:] if "_l" in theirs else ("", "")
      stem, layer = theirs.removesuffix("".join(layer)), "".join(layer)
      for part, name in (("input", "ih"), ("hidden", "hh")):
        state_dict[f"{stem}.weight_{name}{layer}"] = tree[f"{part}_kernel"].T
        state_dict[f"{stem}.bias_{name}{layer}"] = tree[f"{part}_bias"]
    elif "embedding" in tree:
      state_dict[f"{theirs}.weight"] = tree["embedding"]
    else:
      state_dict[f"{theirs}.weight"] = tree["kernel"].T
      state_dict[f"{theirs}.bias"] = tree["bias"]
  return {name: torch.tensor(np.array(value)) for name, value in state_dict.items()}


CAPTIONER_NAMES = {
  "init_hidden": "init_hidden",
  "init_cell": "init_cell",
  "embedding": "embedding",
  "attention/query": "query",
  "attention/key": "key",
  "attention/output": "energy",
  "gate": "gate",
  "lstm": "cell",
  "output": "output.1",
}
LANGUAGE_MODEL_NAMES = {
  "embedding": "embedding",
  "lstm_0": "lstm_l0",
  "lstm_1": "lstm_l1",
  "output": "output",
}


@pytest.mark.parametrize("name", ["captioner", "language_model"])
def test_two_epochs_are_those_of_plain_torch(name, plain, samples):
  rng = np.random.default_rng(1)
  tokens = jnp.zeros((1, 1), jnp.int32)
  if name == "captioner":
    features = rng.random((UNITS, K, FEATURES), np.float32)
    model = Captioner(VOCAB, FEATURES, HIDDEN, EMBEDDING, HIDDEN, dropout=0.0)
    regions = jnp.asarray(features[:1])
    params = model.init(jax.random.key(0), regions, tokens)["params"]
    theirs = plain.PlainCaptioner(VOCAB, FEATURES, HIDDEN, EMBEDDING, 0.0)
    names, terms = CAPTIONER_NAMES, objectives.CAPTIONER_TERMS
    objective = objectives.captioner_objective(model, pad_id=PAD)
  else:
    features = None
    model = LanguageModel(VOCAB, HIDDEN, EMBEDDING, dropout=0.0, pad_id=PAD)
    params = model.init(jax.random.key(0), tokens)["params"]
    theirs = plain.PlainLanguageModel(VOCAB, HIDDEN, EMBEDDING, 2, 0.0, PAD)
    names, terms = LANGUAGE_MODEL_NAMES, objectives.LANGUAGE_MODEL_TERMS
    objective = objectives.language_model_objective(model, pad_id=PAD)
  theirs.load_state_dict(tensors_of(params, names))
  their_optimizer = torch.optim.AdamW(theirs.parameters())
  optimizer = state.make_optimizer()
  take = step.make_step(objective, optimizer)
  train_state = state.start_state(params, optimizer=optimizer, seed=0)
  for epoch in range(2):
    order = batches.shuffled(samples, seed=0, epoch=epoch)
    read = batches.batches(
      order,
      batch_size=BATCH,
      pad_id=PAD,
      gather=None if features is None else lambda rows: features[rows],
    )
    for number, batch in enumerate(read):
      train_state, found = take(train_state, losses.no_terms(terms), batch)
      rows = order.rows[number * BATCH : (number + 1) * BATCH]
      ids = order.tokens[number * BATCH : (number + 1) * BATCH]
      ids = torch.tensor(ids[:, : (ids != PAD).sum(1).max()].astype(np.int64))
      expected = plain.take_step(
        theirs,
        their_optimizer,
        ids[:, :-1],
        ids[:, 1:],
        None if features is None else torch.tensor(features[rows]),
        PAD,
      )
      np.testing.assert_allclose(losses.sum_of_means(found), expected, rtol=1e-6)
  ours = tensors_of(train_state.params, names)
  for key, value in theirs.state_dict().items():
    # The softmax ignores this bias; torch's AdamW turns its rounding errors into steps.
    if key != "energy.bias":
      np.testing.assert_allclose(ours[key], value, atol=2e-4, err_msg=key)
