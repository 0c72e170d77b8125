"""Held-out perplexity of both language models beside an n-gram model's.

  pip install nltk
  python benchmarks/compare_language_models.py ANNOTATIONS.csv --json models.json

ANNOTATIONS.csv has the columns layer,unit,summary. The units, not the annotations, are
split: eight tenths train, one tenth stops the training, one tenth is tested. Words that
occur once in the training tenths are unknown, to all models alike. The perplexity is
that of a token, the stop included and the unknown word too. The n-gram model is nltk's,
interpolated Kneser-Ney; its order is the best one on the tenth that stops the training.
"""

import argparse
import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from milan_jax._src.models.language_models import (
  ARCHITECTURES,
  TRANSFORMER,
  make_language_model,
)
from milan_jax._src.store.annotations import read_annotations
from milan_jax._src.text.reconstruction import reconstruct_ids
from milan_jax._src.text.tokenizer import Tokenizer
from milan_jax._src.text.vocabulary import Vocabulary, build_vocabulary
from milan_jax._src.training import batches, loop, objectives, splitting, state

# What a transformer has in place of the LSTM's two layers and dropout of .5.
SIZES = {TRANSFORMER: {"num_layers": 4, "dropout": 0.3}}


class Unsaved:
  """Keeps no checkpoints."""

  def latest(self) -> None:
    """Nothing was saved."""

  def save(self, step: int, arrays: Any, progress: dict[str, Any]) -> None:
    """Saves nothing."""

  def restore(self, step: int, like: Any) -> Any:
    """Is never called."""


def train(
  architecture: str,
  parts: dict[str, batches.Samples],
  vocabulary: Vocabulary,
  options: argparse.Namespace,
) -> dict[str, Any]:
  """Trains a language model; returns its row."""
  model = make_language_model(
    architecture,
    vocab_size=vocabulary.vocab_size,
    pad_id=vocabulary.pad_id,
    hidden_size=options.hidden_size,
    **SIZES.get(architecture, {}),
  )
  params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 1), int))["params"]
  trainer = loop.Trainer(
    objectives.language_model_objective(
      model, pad_id=vocabulary.pad_id, dtype=options.dtype
    ),
    terms=objectives.LANGUAGE_MODEL_TERMS,
    optimizer=state.make_optimizer(options.learning_rate, warmup_steps=100),
    batch_size=128,
    pad_id=vocabulary.pad_id,
    order="length",
    lengths=batches.choose_lengths(parts["training"], pad_id=vocabulary.pad_id),
  )
  fitted = trainer.fit(
    params,
    training=parts["training"],
    validation=parts["validation"],
    checkpoints=Unsaved(),
    options=loop.FitOptions(max_epochs=options.max_epochs),
    hooks=loop.FitHooks(
      on_epoch=lambda epochs: print(
        f"{architecture}, epoch {epochs[-1].epoch}: "
        f"validation {math.exp(epochs[-1].validation['nll']):.2f}, "
        f"{epochs[-1].captions_per_second:.0f} captions/s",
        flush=True,
      )
    ),
  )
  best = [epoch for epoch in fitted.epochs if epoch.improved][-1]
  return {
    "model": architecture,
    "parameters": sum(x.size for x in jax.tree.leaves(params)),
    "epochs": best.epoch + 1,
    "validation": math.exp(best.validation["nll"]),
    "test": math.exp(trainer.evaluate(fitted.params, parts["test"])["nll"]),
    "samples": sample(model, fitted.params, vocabulary),
  }


def sample(
  model: Any, params: Any, vocabulary: Vocabulary, number: int = 5, length: int = 15
) -> list[str]:
  """Draws captions."""
  tokens = jnp.full((number, length + 1), vocabulary.start_id)
  predict = jax.jit(lambda tokens: model.apply({"params": params}, tokens))
  for step in range(length):
    log_probs = predict(tokens)[:, step]
    drawn = jax.random.categorical(jax.random.key(step), log_probs)
    tokens = tokens.at[:, step + 1].set(drawn)
  rows = np.asarray(tokens)[:, 1:]
  return [reconstruct_ids(row, vocabulary) for row in rows]


def ngram(
  order: int,
  captions: dict[str, list[list[int]]],
  vocabulary: Vocabulary,
) -> dict[str, Any]:
  """Counts an n-gram model; returns its row."""
  from nltk.lm import KneserNeyInterpolated
  from nltk.lm import Vocabulary as Words
  from nltk.util import everygrams

  def padded(ids: Sequence[int]) -> list[str]:
    return ["<s>"] * (order - 1) + [str(token) for token in ids]

  words = [str(token) for token in range(vocabulary.vocab_size)]
  model = KneserNeyInterpolated(order, vocabulary=Words([*words, "<s>"]))
  model.fit([everygrams(padded(ids), max_len=order) for ids in captions["training"]])
  known: dict[tuple[str, ...], float] = {}

  def perplexity(part: str) -> float:
    total, number = 0.0, 0
    for ids in captions[part]:
      line = padded(ids)
      for place in range(order - 1, len(line)):
        key = tuple(line[place - order + 1 : place + 1])
        if key not in known:
          known[key] = math.log(model.score(key[-1], key[:-1]))
        total -= known[key]
        number += 1
    return math.exp(total / number)

  return {
    "model": f"{order}-gram, Kneser-Ney (nltk)",
    "validation": perplexity("validation"),
    "test": perplexity("test"),
  }


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("annotations", help="CSV with columns layer,unit,summary")
  parser.add_argument("--models", nargs="*", default=list(ARCHITECTURES))
  parser.add_argument("--orders", type=int, nargs="*", default=[2, 3, 4])
  parser.add_argument("--hidden_size", type=int, default=256, help="of both models")
  parser.add_argument("--learning_rate", type=float, default=1e-3)
  parser.add_argument("--dtype", default="float32")
  parser.add_argument("--max_epochs", type=int, default=100)
  parser.add_argument("--json", help="file for the rows")
  options = parser.parse_args()
  annotations = read_annotations(pathlib.Path(options.annotations))
  split = Tokenizer()
  units = [[split(text) for text in texts] for texts in annotations.values()]
  rows = splitting.split_units(len(units), seed=0)
  vocabulary = build_vocabulary(
    (tokens for row in rows.training for tokens in units[row]), min_count=2
  )
  parts = {
    name: batches.make_samples(units, each, vocabulary=vocabulary)
    for name, each in rows._asdict().items()
  }
  captions = {
    name: [row[(row != vocabulary.pad_id)][1:].tolist() for row in part.tokens]
    for name, part in parts.items()
  }
  found = [ngram(order, captions, vocabulary) for order in options.orders]
  found = sorted(found, key=lambda row: row["validation"])[:1]
  print(f"{len(vocabulary.tokens)} words, {found}", flush=True)
  for architecture in options.models:
    found.append(train(architecture, parts, vocabulary, options))
    print(found[-1], flush=True)
    if options.json:
      pathlib.Path(options.json).write_text(json.dumps(found, indent=2) + "\n")
  print("| model | parameters | epochs | perplexity, stop | perplexity, test |")
  print("|---|---|---|---|---|")
  for row in found:
    size = f"{row['parameters'] / 1e6:.1f} M" if "parameters" in row else ""
    print(
      f"| {row['model']} | {size} | {row.get('epochs', '')} "
      f"| {row['validation']:.1f} | {row['test']:.1f} |"
    )


if __name__ == "__main__":
  main()
