"""Fits the confidence of a trained captioner on the validation units."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from milan_jax._src.decoding.confidence import candidates, gather_evidence
from milan_jax._src.decoding.decoder import Decoder
from milan_jax._src.errors import UserError
from milan_jax._src.models import confidence_model as confidence
from milan_jax._src.records import Unit
from milan_jax._src.runs.random_keys import random_key
from milan_jax._src.store import release as releases
from milan_jax._src.store.feature_records import FeatureRecords
from milan_jax._src.store.feature_store import FeatureStore
from milan_jax._src.store.truths import TRUTH
from milan_jax._src.text.content_words import describes_nothing
from milan_jax._src.text.judge import Truth, judge
from milan_jax._src.text.reconstruction import reconstruct_ids
from milan_jax._src.text.vocabulary import Vocabulary
from milan_jax._src.training.fit_confidence import fit_confidence

BATCH = 64


def check_truths(split: Mapping[Unit, str], truths: Mapping[Unit, Truth]) -> None:
  """Checks that a confidence can be fitted with a split and truths.

  Raises:
    UserError: if no validation unit has a known truth.
  """
  if not any(part == "validation" and unit in truths for unit, part in split.items()):
    raise UserError(
      "No validation unit has a known truth, so the confidence cannot be "
      f"fitted: remove {TRUTH}, or write one for these units."
    )


def calibrate(
  folder: pathlib.Path,
  store: FeatureStore | FeatureRecords,
  *,
  split: Mapping[Unit, str],
  truths: Mapping[Unit, Truth],
  dtype: str = "float32",
) -> dict[str, Any]:
  """Adds a confidence model to a release, fitted on the validation units.

  Args:
    folder: the release; it is rewritten.
    store: features of all units.
    split: the split of each unit.
    truths: the truth of each unit.
    dtype: dtype of the released weights.

  Returns:
    The results, for the report.

  Raises:
    UserError: if no validation unit has a known truth.
  """
  check_truths(split, truths)
  release = releases.load_release(folder)
  units = store.all_units()
  indices = [
    index
    for index, unit in enumerate(units)
    if split.get(unit) == "validation" and unit in truths
  ]
  evidence, texts = describe_with_evidence(release, store, indices)
  known = [truths[units[index]] for index in indices]
  negative = np.array([truth.negative for truth in known])
  right = np.array(
    [
      not truth.negative
      and not describes_nothing(text, release.decoding.nothing)
      and judge(text, truth).lenient
      for text, truth in zip(texts, known, strict=True)
    ]
  )
  spec = fit_confidence(evidence, right, negative)
  whole = dataclasses.replace(
    release,
    confidence=spec,
    params=jax.tree.map(lambda x: np.asarray(x, dtype), release.params),
  )
  releases.save_release(whole, folder)
  columns = confidence.table(evidence, spec.evidence)
  refused = confidence.probabilities(spec, columns) < spec.threshold
  return {
    "units": len(right),
    "right": float(right[~negative].mean()),
    "threshold": spec.threshold,
    "negatives_refused": float(refused[negative].mean()) if negative.any() else None,
    "others_refused": float(refused[~negative].mean()),
  }


def describe_with_evidence(
  release: releases.Release,
  store: FeatureStore | FeatureRecords,
  indices: Sequence[int],
) -> tuple[dict[str, Float[np.ndarray, "units"]], list[str]]:
  """Returns the best descriptions that say something, and the evidence for them.

  Args:
    release: the captioner.
    store: features of the units.
    indices: the units, by their index in the store.
  """
  decoder = Decoder(release, release.decoding, batch_size=BATCH)
  vocabulary = Vocabulary(release.vocabulary)
  batches: list[dict[str, np.ndarray]] = []
  texts: list[str] = []
  for start in range(0, len(indices), BATCH):
    some = indices[start : start + BATCH]
    features = store.read_rows(np.array(some))
    keys = jax.random.split(random_key(0), len(some))
    counts = store.num_regions(0, len(store))[some]
    decoded = decoder(features, keys, counts)
    evidence = gather_evidence(release, decoded, features, counts)
    batches.append(evidence)
    tokens = np.asarray(candidates(decoded).tokens)
    texts += [reconstruct_ids(tokens[row], vocabulary) for row in range(len(some))]
  merged = {
    name: np.concatenate([each[name] for each in batches]) for name in batches[0]
  }
  return merged, texts
