"""Adds confidences to descriptions and withholds those below the threshold."""

import dataclasses
from collections.abc import Iterable, Iterator

import jax
import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.decoding.program import DecodedBatch
from milan_jax._src.decoding.release_words import release_words
from milan_jax._src.models import confidence_model, word_detectors
from milan_jax._src.models.confidence_model import NO_PATTERN
from milan_jax._src.models.encoder import project
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.records import Description
from milan_jax._src.store.release import Release
from milan_jax._src.text.content_words import describes_nothing
from milan_jax._src.text.vocabulary import Vocabulary

_word_log_probs = jax.jit(word_detectors.word_log_probs)
# Minimum share of a unit's regions with nonzero features for a nonzero confidence.
MIN_NONEMPTY_SHARE = 1 / 3


def knows_confidence(release: Release, decoding: Decoding) -> bool:
  """Returns whether a release's confidence was calibrated for this decoding."""
  if release.confidence is None:
    return False
  # `nothing` always comes from the release.
  own = dataclasses.replace(
    release.decoding, precision=decoding.precision, nothing=decoding.nothing
  )
  return decoding == own


def gather_evidence(
  release: Release,
  decoded: DecodedBatch,
  features: Float[np.ndarray, "units k features"],
  counts: Int[np.ndarray, "units"] | None = None,
) -> dict[str, Float[np.ndarray, "units"]]:
  """Returns the evidence for a batch of descriptions, by name.

  Args:
    release: the captioner.
    decoded: the decoder's output. The evidence is that of its `candidates`.
    features: features of the batch's regions.
    counts: number of each unit's regions that count, from the first; None for all.

  Raises:
    ValueError: if p(description) is unknown.
  """
  said, something = candidates(decoded), decoded.something
  if said.lm_log_probs is None:
    raise ValueError("the evidence needs a language model's scores")
  projection = release.projection
  seen = features if projection is None else project(features, projection)
  tokens = np.asarray(said.tokens)
  detected = None
  if release.word_detectors is not None:
    detected = _detected(release, tokens, seen, counts)
  return confidence_model.gather_evidence(
    confidence_model.agreement(seen, counts),
    log_probs=np.asarray(said.log_probs),
    lm_log_probs=np.asarray(said.lm_log_probs),
    margins=np.asarray(said.margins),
    num_tokens=count_tokens(tokens, Vocabulary(release.vocabulary).stop_id),
    nothing=None if something is None else something.nothing,
    consensus=None if something is None else something.consensus,
    words=detected,
  )


def _detected(
  release: Release,
  tokens: Int[np.ndarray, "units length"],
  features: Float[np.ndarray, "units k features"],
  counts: Int[np.ndarray, "units"] | None,
) -> Float[np.ndarray, "units"]:
  """Returns the mean log probability of each description's words, as detected.

  Args:
    release: a captioner with word detectors.
    tokens: of the descriptions.
    features: of the regions, as the captioner reads them.
    counts: number of each unit's regions that count, from the first; None for all.
  """
  params = release.params["word_detectors"]
  numbers = release_words(release, tokens.shape[1]).detectors
  log_probs = _word_log_probs(params, features, counts)
  found = word_detectors.detected(log_probs, tokens[:, None], numbers)
  return np.asarray(found, np.float64)[:, 0]


def candidates(decoded: DecodedBatch) -> DecodedBatch:
  """Returns the best informative descriptions if known, else the search's choice."""
  return decoded if decoded.something is None else decoded.something.found


def count_tokens(
  tokens: Int[np.ndarray, "units length"], stop_id: int
) -> Int[np.ndarray, "units"]:
  """Returns the number of tokens of each description, including the stop token."""
  counts: np.ndarray = np.minimum((tokens != stop_id).sum(1) + 1, tokens.shape[1])
  return counts


def judged(
  descriptions: Iterable[Description],
  decoded: DecodedBatch,
  release: Release,
  features: Float[np.ndarray, "units k features"],
  counts: Int[np.ndarray, "units"] | None = None,
) -> Iterator[Description]:
  """Adds confidences to a batch of descriptions; withholds those of low confidence.

  Args:
    descriptions: the descriptions of the batch's `candidates`.
    decoded: the decoder's output for the batch.
    release: the captioner; if it has no confidence, the descriptions are unchanged.
    features: features of the batch's regions.
    counts: number of each unit's regions that count, from the first; None for all.
  """
  spec = release.confidence
  if spec is None:
    yield from descriptions
    return
  evidence = gather_evidence(release, decoded, features, counts)
  columns = confidence_model.table(evidence, spec.evidence)
  found = confidence_model.probabilities(spec, columns)
  # A region whose mask is empty has no features.
  seen = features.any(-1).sum(1)
  blind = seen / (features.shape[1] if counts is None else counts) < MIN_NONEMPTY_SHARE
  rows = zip(descriptions, found.tolist(), blind.tolist(), strict=True)
  for entry, value, empty in rows:
    sure = 0.0 if entry.dead or empty else value
    nothing = describes_nothing(entry.text, release.decoding.nothing)
    if sure < spec.threshold or nothing:
      yield dataclasses.replace(
        entry, text=NO_PATTERN, confidence=sure, guess=entry.text
      )
    else:
      yield dataclasses.replace(entry, confidence=sure)
