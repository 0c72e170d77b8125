"""Baselines for a captioner, on the same units and with the same judges.

Constant: the training caption that is right for the most test units, an upper bound for
any answer that ignores the images. Frequent: the most frequent training caption.
Nearest: the first caption of the training unit with the nearest mean features.
Likelihood: the captioner's own beam search without the language model.
"""

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from milan_jax._src.api.captioners import Captioner
from milan_jax._src.errors import UserError
from milan_jax._src.lab.evaluation.described import Judged, Run, by_likelihood
from milan_jax._src.records import Unit
from milan_jax._src.store.annotations import read_annotations
from milan_jax._src.store.feature_store import FeatureStore, open_features
from milan_jax._src.store.splits import FILE, read_split
from milan_jax._src.text.judge import Truth, judge, judge_phrases
from milan_jax._src.text.wording import is_refusal, phrases, said

# Names of the training split: in corpora and in official data.
_TRAIN = ("train", "training")

Said = Mapping[tuple[pathlib.Path, Unit], str]


@dataclasses.dataclass(frozen=True, slots=True)
class Training:
  """The captioner's training data, as far as the options name it.

  Attributes:
    captions: the captions of each training unit; empty without a corpus.
    features: folder of the training units' features; None if not given.
    prefix: what the names of the corpus's layers start with in the features of a run
      that trained on several folders.
  """

  captions: Mapping[Unit, tuple[str, ...]]
  features: pathlib.Path | None
  prefix: str = ""


def read_training(corpus: pathlib.Path | None, features: str) -> Training:
  """Reads the captions of a corpus's training units.

  Raises:
    UserError: if the corpus is damaged, or features are given without a corpus.
  """
  if corpus is None:
    if features:
      raise UserError("--corpus_features: name the corpus of these features: --corpus.")
    return Training({}, None)
  captions = read_annotations(corpus)
  split = read_split(corpus / FILE)
  kept = {unit: each for unit, each in captions.items() if split.get(unit) in _TRAIN}
  found = pathlib.Path(features) if features else None
  return Training(kept, found, f"{corpus.resolve().name}:")


def figures(texts: Sequence[tuple[str, Truth]]) -> dict[str, float | None]:
  """Returns the fraction of right descriptions, for both judges."""
  verdicts = [judge(text, truth) for text, truth in texts]
  return {
    "top1": _share([verdict.lenient for verdict in verdicts]),
    "strict": _share([verdict.strict for verdict in verdicts]),
  }


def _share(right: Sequence[bool]) -> float | None:
  return sum(right) / len(right) if right else None


def constant(
  captions: Collection[str], truths: Sequence[Truth]
) -> dict[str, Any] | None:
  """Returns the caption that is right most often, with its figures."""
  counted = Counter(truths)
  best: tuple[int, str] = (-1, "")
  for caption in sorted(set(captions)):
    if is_refusal(caption):
      continue
    spoken = phrases(said(caption))
    right = sum(
      number
      for truth, number in counted.items()
      if judge_phrases(spoken, truth).lenient
    )
    best = max(best, (right, caption), key=lambda found: found[0])
  if best[0] < 0:
    return None
  return {"text": best[1], **figures([(best[1], truth) for truth in truths])}


def frequent(
  captions: Collection[str], truths: Sequence[Truth]
) -> dict[str, Any] | None:
  """Returns the most frequent caption, with its figures."""
  counts = Counter(caption for caption in captions if not is_refusal(caption))
  if not counts:
    return None
  text = max(sorted(counts), key=counts.__getitem__)
  return {"text": text, **figures([(text, truth) for truth in truths])}


def likelihood(runs: Sequence[Run], captioner: Captioner) -> Said:
  """Describes each unit by beam search without the language model."""
  found: dict[tuple[pathlib.Path, Unit], str] = {}
  for run in runs:
    answers = by_likelihood(run, captioner)
    found |= {(run.folder, unit): each.text for unit, each in answers.items()}
  return found


def nearest(runs: Sequence[Run], training: Training) -> Said:
  """Returns the first caption of each unit's nearest training unit.

  The similarity is the cosine of mean features, standardized with the statistics of the
  training units. The captioner is not used.

  Raises:
    UserError: if the training features are of other units or another encoder.
  """
  assert training.features is not None
  units, known = _means(
    open_features(training.features), set(training.captions), training.prefix
  )
  if not units:
    raise UserError(
      f"--corpus_features: {training.features} has no features of the corpus's "
      "training units: give the folder `features` of the run that trained on it."
    )
  middle, spread = known.mean(0, keepdims=True), known.std(0, keepdims=True) + 1e-6
  known = _unit_length((known - middle) / spread)
  found: dict[tuple[pathlib.Path, Unit], str] = {}
  for run in runs:
    own, means = _means(open_features(run.features), set(run.truths))
    if not own:
      continue
    if means.shape[1] != known.shape[1]:
      raise UserError(
        f"--corpus_features: {training.features} has features of size "
        f"{known.shape[1]}, but the captioner expects {means.shape[1]}."
      )
    best = (_unit_length((means - middle) / spread) @ known.T).argmax(1)
    for unit, place in zip(own, best.tolist(), strict=True):
      found[run.folder, unit] = training.captions[units[place]][0]
  return found


def _means(
  store: FeatureStore, wanted: set[Unit], prefix: str = ""
) -> tuple[list[Unit], Float[np.ndarray, "units features"]]:
  """Returns the mean features over the regions of each wanted unit.

  Args:
    store: the features.
    wanted: the units.
    prefix: what the names of their layers may start with in the store.
  """
  units, means, step = [], [], 256
  for start in range(0, len(store), step):
    named = [
      dataclasses.replace(unit, layer=unit.layer.removeprefix(prefix))
      for unit, _ in store.units(start, start + step)
    ]
    kept = [place for place, unit in enumerate(named) if unit in wanted]
    if kept:
      means.append(store.read(start, start + step).mean(1)[kept])
      units += [named[place] for place in kept]
  size = store.feature_size
  return units, np.concatenate(means) if means else np.zeros((0, size), np.float32)


def _unit_length(
  vectors: Float[np.ndarray, "units features"],
) -> Float[np.ndarray, "units features"]:
  scaled: np.ndarray = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9)
  return scaled


def judged_by(known: Said, cases: Sequence[Judged]) -> dict[str, float | None]:
  """Returns the figures of other descriptions of the same units."""
  return figures([(known[case.run.folder, case.unit], case.truth) for case in cases])
