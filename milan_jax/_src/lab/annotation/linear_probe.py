"""How well words of annotations can be read from features, linearly.

`python -m milan_jax._src.lab.annotation.linear_probe --features RUN/features`, where
RUN trained on exemplars of the annotated networks (`training_sets`), takes each unit's
mean features and, for each word that people said of enough units, a ridge regression
that is fitted on some units and tried on others: the mean area under the ROC curve over
words, for the features inside the regions alone, and with their geometry. The others
are a random eighth of the units, or all units of one network.
"""

import argparse
import collections
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from milan_jax._src.api.stores import open_features
from milan_jax._src.errors import UserError
from milan_jax._src.lab.annotation.scripts import exit_code
from milan_jax._src.lab.annotation.training_sets import ANNOTATIONS
from milan_jax._src.models.region_features import GEOMETRY
from milan_jax._src.records import Unit
from milan_jax._src.store.annotations import read_annotations
from milan_jax._src.store.feature_store import FeatureStore
from milan_jax._src.text.content_words import EMPTY_WORDS
from milan_jax._src.text.wording import said

MIN_UNITS = 12  # units whose descriptions have a word
RIDGES = (300.0, 1000.0, 3000.0, 10000.0)
FOLDS = 8


def probe_words(
  features: Float[np.ndarray, "units features"],
  has_word: Bool[np.ndarray, "units words"],
  folds: Int[np.ndarray, "units"],
) -> float:
  """The mean area under the ROC curve of the words, at the best ridge.

  Args:
    features: of each unit, on any scale.
    has_word: whether each word was said of each unit.
    folds: which units are tried together, by a fit on all others.
  """
  deviations = features.std(0)
  scaled = (features - features.mean(0)) / np.where(deviations > 0, deviations, 1)
  targets, kernel = has_word.astype(float), scaled @ scaled.T
  areas = []
  for ridge in RIDGES:
    scores = np.zeros(has_word.shape)
    for fold in np.unique(folds):
      tried = folds == fold
      fitted = kernel[np.ix_(~tried, ~tried)] + ridge * np.eye((~tried).sum())
      mean = targets[~tried].mean(0)
      weights = np.linalg.solve(fitted, targets[~tried] - mean)
      scores[tried] = kernel[np.ix_(tried, ~tried)] @ weights + mean
    areas.append(
      np.mean([_area(*each) for each in zip(scores.T, has_word.T, strict=True)])
    )
  return float(max(areas))


def _area(
  scores: Float[np.ndarray, "units"], positive: Bool[np.ndarray, "units"]
) -> float:
  """The area under the ROC curve: how often a positive unit is above another."""
  ranks = np.empty(len(scores))
  ranks[np.argsort(scores, kind="stable")] = np.arange(1, len(scores) + 1)
  number = int(positive.sum())
  above = ranks[positive].sum() - number * (number + 1) / 2
  return float(above / (number * (len(scores) - number)))


def annotated_rows(store: FeatureStore) -> Mapping[Unit, tuple[int, Sequence[str]]]:
  """The annotated units of a store by their index in it, with what was said of them.

  Units keep the names of their layers in the store: `NETWORK:LAYER`.
  """
  described = {
    (path.stem, unit): texts
    for path in sorted(ANNOTATIONS.glob("*.csv"))
    for unit, texts in read_annotations(path).items()
  }
  found = {}
  for index, (unit, _) in enumerate(store.units(0, len(store))):
    network, _, layer = unit.layer.partition(":")
    texts = described.get((network, Unit(layer, unit.index, unit.sign)))
    if texts is not None:
      found[unit] = index, texts
  return found


def run(folder: str) -> None:
  """Prints the figures of a folder of features.

  Raises:
    UserError: if it has no annotated units, or no geometry.
  """
  store = open_features(folder)
  found = annotated_rows(store)
  if not found:
    raise UserError(
      f"{folder}: expected features of annotated networks, in layers called "
      f"NETWORK:LAYER; found {', '.join(store.layers[:4])}."
    )
  counts = store.num_regions(0, len(store))
  means = np.stack(
    [
      store.read_rows(np.array([index]))[0, : counts[index]].mean(0)
      for index, _ in found.values()
    ]
  )
  words = [
    frozenset(word for text in texts for word in said(text)) - EMPTY_WORDS
    for _, texts in found.values()
  ]
  numbers = collections.Counter(word for each in words for word in each)
  kept = sorted(word for word, number in numbers.items() if number >= MIN_UNITS)
  has_word = np.array([[word in each for word in kept] for each in words])
  random = np.random.default_rng(0).integers(0, FOLDS, len(words))
  names = [unit.layer.partition(":")[0] for unit in found]
  networks = np.unique(names, return_inverse=True)[1]
  inside = means[:, : -len(GEOMETRY)]
  print(f"{len(words)} units, {len(kept)} words")
  print("| features | random units | other networks |")
  print("|---|---|---|")
  for name, features in (("inside", inside), ("inside and geometry", means)):
    areas = (probe_words(features, has_word, folds) for folds in (random, networks))
    print(f"| {name} | {' | '.join(f'{area:.3f}' for area in areas)} |", flush=True)


if __name__ == "__main__":
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--features", required=True)
  given = parser.parse_args()
  raise SystemExit(exit_code("linear_probe", lambda: run(given.features)))
