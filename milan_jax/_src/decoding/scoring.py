"""Scores of given descriptions: forced decoding of texts."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.decoding.program import TextScores, score
from milan_jax._src.decoding.weights import fuse_weights
from milan_jax._src.errors import UserError
from milan_jax._src.models.products import stores_by_outputs
from milan_jax._src.notebook import Shown
from milan_jax._src.records import Sign, Unit
from milan_jax._src.runs.precision import full_float32
from milan_jax._src.store.feature_store import FeatureStore
from milan_jax._src.store.release import Release
from milan_jax._src.text.tokenizer import Tokenizer
from milan_jax._src.text.vocabulary import Vocabulary

# Single regions that are scored together: the compiled shape.
REGIONS = 64


@dataclasses.dataclass(frozen=True, slots=True)
class TextScore(Shown):
  """How well a description fits a unit.

  Attributes:
    text: the description.
    log_prob: log p(description | regions), in nats, its end included.
    lm_log_prob: log p(description), in nats; None without a language model.
    score: `log_prob`, less the captioner's own temperature times `lm_log_prob` (without
      its end, where that does not count in the captioner's own decoding): what rerank
      ranks by, without the consensus and the word detectors.
    unknown: words of the text that the captioner does not know: it scores each as the
      unknown word.

  Example:
    >>> unit = milan_jax.Unit("conv2", 0)
    >>> (scored,) = captioner.score(exemplars, {unit: ["red zebras"]})[unit]
    >>> scored.unknown
    ('zebras',)
  """

  text: str
  log_prob: float
  lm_log_prob: float | None
  score: float
  unknown: tuple[str, ...]


class TextScorer:
  """Scores descriptions of units; compiles once per shape."""

  def __init__(self, release: Release):
    """Fuses the weights.

    Args:
      release: the captioner.
    """
    self._release = release
    self._vocabulary = Vocabulary(release.vocabulary)
    params = {name: tree for name, tree in release.params.items() if name != "encoder"}
    platform = jax.devices()[0].platform
    fuse = functools.partial(
      fuse_weights,
      dtype=jnp.float32,
      by_outputs=stores_by_outputs(platform, jnp.float32),
    )
    forced = functools.partial(
      score,
      start_id=self._vocabulary.start_id,
      stop_id=self._vocabulary.stop_id,
      platform=platform,
    )
    self._weights = jax.jit(full_float32(fuse))(params)
    self._program = jax.jit(full_float32(forced))

  def __call__(
    self,
    store: FeatureStore,
    texts: Mapping[Unit, Sequence[str]],
    *,
    batch_size: int,
  ) -> dict[Unit, list[TextScore]]:
    """Scores descriptions of units.

    Args:
      store: features of the units.
      texts: descriptions of some of them.
      batch_size: units scored together.

    Raises:
      UserError: a unit is not in the store, a text is empty or none, or spaCy is not
        installed.
    """
    check_texts(texts)
    if not texts:
      return {}
    rows, tokens = rows_in(store, texts), tokenized(texts)
    vocabulary = self._vocabulary
    ids = _ids(list(tokens.values()), vocabulary)
    scores = self._scores(store, np.array(list(rows.values())), ids, batch_size)
    own = self._release.decoding
    ranked = scores.lm_log_probs if own.lm_stop else scores.open_lm_log_probs
    found: dict[Unit, list[TextScore]] = {}
    for row, (unit, each) in enumerate(texts.items()):
      found[unit] = []
      for slot, text in enumerate(each):
        total = log_prob = float(scores.log_probs[row, slot])
        lm: float | None = None
        if scores.lm_log_probs is not None and ranked is not None:
          lm = float(scores.lm_log_probs[row, slot])
          total -= own.temperature * float(ranked[row, slot])
        unknown = tuple(word for word in tokens[unit][slot] if word not in vocabulary)
        found[unit].append(TextScore(text, log_prob, lm, total, unknown))
    return found

  def of_regions(
    self, store: FeatureStore, units: Sequence[Unit], text: str
  ) -> Float[np.ndarray, "units k"]:
    """Scores one description of each region alone, as if a unit had no other.

    Args:
      store: features of the units.
      units: some of its units.
      text: the description.

    Returns:
      log p(text | region), in nats; NaN for regions that do not count or are empty.
    """
    texts = {unit: [text] for unit in units}
    rows = np.array(list(rows_in(store, texts).values()))
    (words,) = tokenized({units[0]: [text]})[units[0]]
    features, k = store.read_rows(rows), store.k
    counts = store.num_regions(0, len(store))[rows]
    is_region = (np.arange(k)[None] < counts[:, None]) & features.any(-1)
    regions = features.reshape(len(rows) * k, 1, -1)
    valid = is_region.reshape(-1)
    found = np.full(len(regions), np.nan, np.float32)
    ids = _ids([[words]], self._vocabulary)
    ones = np.ones(REGIONS, np.int32)
    places = np.flatnonzero(valid)
    for start in range(0, len(places), REGIONS):
      here = places[start : start + REGIONS]
      padded = np.pad(here, (0, REGIONS - len(here)), mode="edge")
      scored = self._program(
        self._weights,
        regions[padded],
        np.arange(REGIONS) < len(here),
        np.repeat(ids, REGIONS, axis=0),
        ones,
      )
      found[here] = np.asarray(scored.log_probs)[: len(here), 0]
    return found.reshape(len(rows), k)

  def _scores(
    self,
    store: FeatureStore,
    rows: Int[np.ndarray, "units"],
    ids: Int[np.ndarray, "units texts length"],
    batch_size: int,
  ) -> TextScores:
    counts = store.num_regions(0, len(store))[rows]
    found: list[TextScores] = []
    for start in range(0, len(rows), batch_size):
      here = rows[start : start + batch_size]
      padding = batch_size - len(here) if len(rows) > batch_size else 0
      features, tokens, regions = (
        np.pad(x, [(0, padding)] + [(0, 0)] * (x.ndim - 1), mode="edge")
        for x in (
          store.read_rows(here),
          ids[start : start + batch_size],
          counts[start : start + batch_size].astype(np.int32),
        )
      )
      valid = np.arange(len(features)) < len(here)
      scored = self._program(self._weights, features, valid, tokens, regions)
      found.append(jax.tree.map(functools.partial(_first, number=len(here)), scored))
    whole: TextScores = jax.tree.map(lambda *parts: np.concatenate(parts), *found)
    return whole


def rows_in(store: FeatureStore, units: Iterable[Unit]) -> dict[Unit, int]:
  """The index of each of some units in a store.

  Raises:
    UserError: a unit is not in the store.
  """
  rows = {unit: row for row, (unit, _) in enumerate(store.units(0, len(store)))}
  found: dict[Unit, int] = {}
  for unit in units:
    if unit not in rows:
      raise UserError(
        f"texts: expected units that have exemplars; found {_name(unit)}, which "
        "has none."
      )
    found[unit] = rows[unit]
  return found


def tokenized(texts: Mapping[Unit, Sequence[str]]) -> dict[Unit, list[list[str]]]:
  """The words of descriptions, by unit.

  Raises:
    UserError: a unit has no description, one is empty, or spaCy is not installed.
  """
  # One text is often given for many units.
  tokenize = functools.cache(Tokenizer())
  tokens = {
    unit: [tokenize(str(text)) for text in each] for unit, each in texts.items()
  }
  for unit, captions in tokens.items():
    if not captions or not all(captions):
      raise UserError(
        f"texts: expected descriptions of {_name(unit)}; found {list(texts[unit])}."
      )
  return tokens


def check_texts(texts: Mapping[Unit, Sequence[str]]) -> None:
  """Raises UserError if texts are not lists of strings by unit, or a sign is wrong."""
  expected = "texts: expected a mapping from Unit to a list of descriptions"
  if not isinstance(texts, Mapping):
    raise UserError(f"{expected}; found a {type(texts).__name__}.")
  for unit, each in texts.items():
    if not isinstance(unit, Unit):
      raise UserError(f"{expected}; found {unit!r} in place of a Unit.")
    if unit.sign not in get_args(Sign):
      raise UserError(f"texts: expected units with the sign on or off; found {unit!r}.")
    is_list = isinstance(each, Sequence) and not isinstance(each, str)
    if not is_list or not all(isinstance(text, str) for text in each):
      raise UserError(f"{expected}; found {each!r} for {_name(unit)}.")


def _name(unit: Unit) -> str:
  return f"{unit.layer} {unit.index}" + (" (off)" if unit.sign == "off" else "")


def _ids(
  captions: Sequence[Sequence[Sequence[str]]], vocabulary: Vocabulary
) -> Int[np.ndarray, "units texts length"]:
  """Ids of all texts, filled up with stops; units with fewer texts with empty ones."""
  length = max(len(tokens) for each in captions for tokens in each) + 1
  num_texts = max(map(len, captions))
  ids = np.full((len(captions), num_texts, length), vocabulary.stop_id, np.int32)
  for row, each in enumerate(captions):
    for slot, tokens in enumerate(each):
      encoded = vocabulary.encode(tokens, start=False, stop=False, pad=False)
      ids[row, slot, : len(encoded)] = encoded
  return ids


def _first(rows: jax.Array, number: int) -> np.ndarray:
  return np.asarray(rows)[:number]
