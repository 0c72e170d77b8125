"""Trains both models step by step beside plain torch, on people's annotations.

  python benchmarks/compare_training_torch.py ANNOTATIONS.csv
  python benchmarks/compare_training_torch.py ANNOTATIONS.csv --hidden_size 512

Two epochs on the captions of 60 units, in random order and by length, without dropout,
from the same weights: the largest relative difference of a step's loss, and the largest
difference of a weight at the end; then the same of our steps and torch's from torch's
steps in float64. The torch step is that of `plain_torch_training.py`:
captions padded to the longest of their batch, an output layer over every position,
autograd and torch's AdamW. Features are random. With XLA_FLAGS=
--xla_force_host_platform_device_count=8, the steps here run on 8 simulated devices.

The bias of the attention's last layer is left out: the softmax ignores it, so that its
gradient is zero here, while torch's AdamW turns rounding errors into steps.
"""

import argparse
import copy
import os
import pathlib
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch

from milan_jax._src.models.captioner import Captioner
from milan_jax._src.models.language_model import LanguageModel
from milan_jax._src.runs.mesh import make_mesh
from milan_jax._src.store.annotations import read_annotations
from milan_jax._src.text.tokenizer import Tokenizer
from milan_jax._src.text.vocabulary import build_vocabulary
from milan_jax._src.training import batches, losses, objectives, state, step

sys.path.insert(0, os.fspath(pathlib.Path(__file__).parent))
import plain_torch_training as plain

IGNORED = "energy.bias"
MODELS = {
  "captioner": {
    "init_hidden": "init_hidden",
    "init_cell": "init_cell",
    "embedding": "embedding",
    "attention/query": "query",
    "attention/key": "key",
    "attention/output": "energy",
    "gate": "gate",
    "lstm": "cell",
    "output": "output.1",
  },
  "language_model": {
    "embedding": "embedding",
    "lstm_0": "lstm_l0",
    "lstm_1": "lstm_l1",
    "output": "output",
  },
}


class Sizes(NamedTuple):
  """Sizes of the models."""

  vocab: int
  pad: int
  hidden: int = 64
  embedding: int = 32


class Difference(NamedTuple):
  """Relative differences of each step's loss, and differences of the last weights.

  Attributes:
    losses: our losses from torch's.
    weights: the same, the largest of each tensor.
    ours: our losses from those of torch in float64; empty without a reference.
    ours_weight: the largest difference of our weights from its.
    torchs: torch's losses from those of torch in float64.
    torchs_weight: the largest difference of torch's weights from its.
  """

  losses: list[float]
  weights: dict[str, float]
  ours: list[float]
  ours_weight: float
  torchs: list[float]
  torchs_weight: float


def tensors_of(params: Any, names: dict[str, str]) -> dict[str, torch.Tensor]:
  """Arranges our parameters as the state of the torch module.

  Args:
    params: the parameters.
    names: names of the module's parts by ours.
  """
  found = {}
  for ours, theirs in names.items():
    tree = params
    for part in ours.split("/"):
      tree = tree[part]
    if "input_kernel" in tree:
      layer = theirs.rpartition("_l")[1:] if "_l" in theirs else ("", "")
      stem, layer = theirs.removesuffix("".join(layer)), "".join(layer)
      for part, name in (("input", "ih"), ("hidden", "hh")):
        found[f"{stem}.weight_{name}{layer}"] = tree[f"{part}_kernel"].T
        found[f"{stem}.bias_{name}{layer}"] = tree[f"{part}_bias"]
    elif "embedding" in tree:
      found[f"{theirs}.weight"] = tree["embedding"]
    else:
      found[f"{theirs}.weight"] = tree["kernel"].T
      found[f"{theirs}.bias"] = tree["bias"]
  return {name: torch.tensor(np.array(value)) for name, value in found.items()}


def train_both(
  name: str,
  samples: batches.Samples,
  features: np.ndarray,
  sizes: Sizes,
  *,
  order: str,
  batch_size: int = 64,
  epochs: int = 2,
  reference: bool = False,
) -> Difference:
  """Trains a model here and in torch.

  Args:
    name: one of `MODELS`.
    samples: the captions.
    features: features of the units, (units, k, features); the language model's are
      not used.
    sizes: sizes of the model.
    order: random or length.
    batch_size: captions per batch.
    epochs: number of epochs.
    reference: whether torch also takes the steps in float64.
  """
  tokens = jnp.zeros((1, 1), jnp.int32)
  vocab, pad, hidden, embedding = sizes
  if name == "captioner":
    attention = min(hidden, features.shape[-1])
    model = Captioner(
      vocab, features.shape[-1], hidden, embedding, attention, dropout=0.0
    )
    params = model.init(jax.random.key(0), jnp.asarray(features[:1]), tokens)["params"]
    theirs: Any = plain.PlainCaptioner(
      vocab, features.shape[-1], hidden, embedding, 0.0
    )
    objective = objectives.captioner_objective(model, pad_id=pad)
    terms = objectives.CAPTIONER_TERMS
  else:
    lm = LanguageModel(vocab, hidden, embedding, dropout=0.0, pad_id=pad)
    params = lm.init(jax.random.key(0), tokens)["params"]
    theirs = plain.PlainLanguageModel(vocab, hidden, embedding, 2, 0.0, pad)
    objective = objectives.language_model_objective(lm, pad_id=pad)
    terms = objectives.LANGUAGE_MODEL_TERMS
  has_features = name == "captioner"
  theirs.load_state_dict(tensors_of(params, MODELS[name]))
  modules = [theirs, copy.deepcopy(theirs).double()][: 1 + reference]
  rules = [torch.optim.AdamW(module.parameters()) for module in modules]
  optimizer, mesh = state.make_optimizer(), make_mesh()
  take = step.make_step(objective, optimizer)
  train_state = step.replicate(
    state.start_state(params, optimizer=optimizer, seed=0), mesh
  )
  steps: list[list[float]] = []
  for epoch in range(epochs):
    ordered, read = _batches(samples, order, batch_size, pad, epoch, mesh.size)
    for number, batch in enumerate(read):
      rows = ordered.rows[number * batch_size : (number + 1) * batch_size]
      ids = ordered.tokens[number * batch_size : (number + 1) * batch_size]
      if has_features:
        # Rows without a caption have features of zero.
        values = np.zeros((len(batch.weights), *features.shape[1:]), np.float32)
        values[: len(rows)] = features[rows]
        batch = batch._replace(features=values)
      none = step.replicate(losses.no_terms(terms), mesh)
      train_state, found = take(train_state, none, step.shard(batch, mesh))
      own = torch.tensor(ids[:, : (ids != pad).sum(1).max()].astype(np.int64))
      seen = torch.tensor(features[rows]) if has_features else None
      expected = [
        plain.take_step(
          module,
          rule,
          own[:, :-1],
          own[:, 1:],
          seen if seen is None else seen.to(next(module.parameters()).dtype),
          pad,
        )
        for module, rule in zip(modules, rules, strict=True)
      ]
      steps.append([float(losses.sum_of_means(found)), *expected])
  ours = tensors_of(train_state.params, MODELS[name])
  states = [ours, *(module.state_dict() for module in modules)]
  weights = _weights(states[0], states[1])
  if not reference:
    return Difference(_relative(steps, 0, 1), weights, [], 0.0, [], 0.0)
  return Difference(
    _relative(steps, 0, 1),
    weights,
    _relative(steps, 0, 2),
    max(_weights(states[0], states[2]).values()),
    _relative(steps, 1, 2),
    max(_weights(states[1], states[2]).values()),
  )


def _relative(steps: list[list[float]], one: int, other: int) -> list[float]:
  return [abs(each[one] / each[other] - 1) for each in steps]


def _weights(
  one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]
) -> dict[str, float]:
  return {
    key: float((one[key].double() - value.double()).abs().max())
    for key, value in other.items()
    if key != IGNORED
  }


def _batches(
  samples: batches.Samples,
  order: str,
  batch_size: int,
  pad: int,
  epoch: int,
  num_devices: int,
) -> tuple[batches.Samples, Any]:
  """Returns the samples in their order, and the batches."""
  shape: dict[str, Any] = {"batch_size": batch_size, "pad_id": pad}
  if order == "random":
    ordered = batches.shuffled(samples, seed=0, epoch=epoch)
    return ordered, batches.batches(ordered, num_devices=num_devices, **shape)
  shape["lengths"] = batches.choose_lengths(samples, pad_id=pad)
  ordered = batches.grouped(samples, seed=0, epoch=epoch, **shape)
  shape["num_devices"] = num_devices
  positions = batches.choose_positions([ordered], **shape)
  return ordered, batches.batches(ordered, positions=positions, **shape)


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("annotations", help="CSV with layer, unit and summary")
  parser.add_argument("--units", type=int, default=60)
  parser.add_argument("--hidden_size", type=int, default=64)
  options = parser.parse_args()
  described = read_annotations(options.annotations)
  split = Tokenizer()
  chosen = list(described.values())[: options.units]
  captions = [[split(caption) for caption in each] for each in chosen]
  words = build_vocabulary(tokens for each in captions for tokens in each)
  samples = batches.make_samples(captions, range(len(captions)), vocabulary=words)
  sizes = Sizes(words.vocab_size, words.pad_id, options.hidden_size)
  rng = np.random.default_rng(0)
  features = rng.random((len(captions), 15, 256), np.float32)
  print(
    f"{len(captions)} units, {len(samples.rows)} captions, {words.vocab_size} words, a "
    f"state of {options.hidden_size}, {jax.device_count()} devices\n\n"
    "| model | order | steps | ours from torch: loss | weight | ours from float64: "
    "loss | weight | torch from float64: loss | weight |\n|---|---|---|---|---|---|---"
    "|---|---|"
  )
  for name in MODELS:
    for order in ("random", "length"):
      found = train_both(name, samples, features, sizes, order=order, reference=True)
      print(
        f"| {name} | {order} | {len(found.losses)} | {max(found.losses):.1e} | "
        f"{max(found.weights.values()):.1e} | {max(found.ours):.1e} | "
        f"{found.ours_weight:.1e} | {max(found.torchs):.1e} | "
        f"{found.torchs_weight:.1e} |",
        flush=True,
      )


if __name__ == "__main__":
  main()
