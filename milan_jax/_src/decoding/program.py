"""The program that describes one device's units, to be compiled: pure functions."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from milan_jax._src.decoding.weights import Weights, language_model_rows
from milan_jax._src.models.captioner import Regions
from milan_jax._src.models.captioner_rows import (
  CaptionerRows,
  CaptionerStart,
  CaptionerWeights,
  start_captioner,
)
from milan_jax._src.models.encoder import project
from milan_jax._src.models.word_detectors import covered, detected, word_log_probs
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.runs.random_keys import key_of
from milan_jax._src.search.beam import beam_search
from milan_jax._src.search.consensus import log_consensus
from milan_jax._src.search.forced import ForcedOutput, counted, forced_scores
from milan_jax._src.search.repetition import repeats_a_word
from milan_jax._src.search.rerank import best_of, rerank
from milan_jax._src.search.rollout import greedy, sample
from milan_jax._src.search.rows import Packing, in_chunks, packing_for
from milan_jax._src.search.steps import BoundModel, Work, add_work
from milan_jax._src.text.content_words import ContentWords

# The mesh axis that units are spread over.
AXIS = "data"


class Beam(NamedTuple):
  """The hypotheses of a batch, in any order; the fields of `DecodedBatch` of each."""

  tokens: Int[np.ndarray | Array, "batch beam length"]
  scores: Float[np.ndarray | Array, "batch beam"]
  log_probs: Float[np.ndarray | Array, "batch beam"]
  lm_log_probs: Float[np.ndarray | Array, "batch beam"] | None


class DecodedBatch(NamedTuple):
  """Descriptions of a batch of units.

  Attributes:
    tokens: tokens of each, stop after the first stop.
    scores: what the strategy ranks by.
    log_probs: log p(description | regions), up to the first stop.
    lm_log_probs: log p(description), up to the first stop; None without a model.
    margins: by how much the score beats the next best hypothesis, or at the closest
      step of a greedy search the next best token; infinity where there is no other.
    beam: all hypotheses, where `Decoder` still has to choose among them; else None.
    something: the best descriptions that say something, where beams are known and the
      captioner has descriptions of no pattern; else None.
    best: some hypotheses of each beam by score, where beams are known; those that a
      beam lacks have scores of minus infinity.
  """

  tokens: Int[np.ndarray | Array, "batch length"]
  scores: Float[np.ndarray | Array, "batch"]
  log_probs: Float[np.ndarray | Array, "batch"]
  lm_log_probs: Float[np.ndarray | Array, "batch"] | None
  margins: Float[np.ndarray | Array, "batch"]
  beam: Beam | None = None
  something: "Something | None" = None
  best: Beam | None = None


class Something(NamedTuple):
  """The best description of each unit that says something, and what speaks for it.

  Attributes:
    found: the descriptions. A unit whose whole beam says nothing keeps its best one.
    nothing: log of the share of the beam, by p(description | regions), that says that
      there is nothing to describe.
    consensus: log of the beam's expected agreement with the description; see
      `search.consensus`.
  """

  found: DecodedBatch
  nothing: Float[np.ndarray, "batch"]
  consensus: Float[np.ndarray, "batch"]


class Costs(NamedTuple):
  """Rows computed by each model for a batch, a row of counts per device."""

  captioner: Work
  language_model: Work | None


def begin(
  weights: CaptionerWeights,
  features: Float[Array, "batch k features"],
  valid: Bool[Array, "batch"],
  counts: Int[Array, "batch"] | None = None,
  *,
  packing: Packing,
) -> BoundModel:
  """Projects the attention keys of the valid units, and computes their first states."""
  batch = features.shape[0]
  rows = jnp.arange(batch, dtype=jnp.int32)
  if packing.accelerator:
    # Padding units cost an accelerator less than gathering the features of the others.
    keys, state = start_captioner(weights, features, counts)
    regions = Regions(features, keys, counts)
    return BoundModel(CaptionerRows(weights, regions), state, rows)
  # Every second size is enough for a product that is computed once.
  sizes = packing.chunk_sizes(batch)[::2]
  shapes = jax.eval_shape(start_captioner, weights, features, counts)
  outputs = packing.allocate(batch, shapes, sizes)

  def start(indices: Int[Array, "chunk"]) -> CaptionerStart:
    if len(indices) == batch:  # all units: their features need no copy
      return start_captioner(weights, features, counts)
    some = jnp.minimum(indices, batch - 1)
    return start_captioner(
      weights, features[some], None if counts is None else counts[some]
    )

  num = jnp.sum(valid, dtype=jnp.int32)
  started = in_chunks(num, start, outputs, sizes=sizes).outputs
  return BoundModel(
    CaptionerRows(weights, Regions(features, started.keys[:batch], counts)),
    jax.tree.map(lambda x: x[:batch], started.state),
    rows,
  )


@dataclasses.dataclass(frozen=True)
class _Task:
  """One device's units, both models at their first states, and how to search.

  Attributes:
    features: features of the regions, as the captioner reads them.
    captioner: p(token | regions, tokens before).
    language_model: p(token | tokens before); None without one.
    valid: units that are not padding, which come first.
    decoding: how to search.
    start_id: the token read first.
    stop_id: the token that ends a description.
    packing: sizes of the rows computed together.
  """

  features: Float[Array, "batch k features"]
  captioner: BoundModel
  language_model: BoundModel | None
  valid: Bool[Array, "batch"]
  decoding: Decoding
  start_id: int
  stop_id: int
  packing: Packing

  @property
  def arguments(self) -> dict[str, Any]:
    """What every search takes beside the captioner."""
    shared = {
      "valid": self.valid,
      "length": self.decoding.length,
      "start_id": self.start_id,
      "stop_id": self.stop_id,
      "packing": self.packing,
    }
    if self.decoding.mi:
      shared |= {"lm": self.language_model, "temperature": self.decoding.temperature}
    return shared

  def forced(
    self,
    model: BoundModel,
    tokens: Int[Array, "batch hypotheses length"],
    num_steps: Int[Array, ""] | None = None,
  ) -> ForcedOutput:
    """Log probabilities of given tokens, up to the first stop.

    Args:
      model: scores them.
      tokens: of each hypothesis.
      num_steps: steps of the search, for the original's count: one token too many.
    """
    counts = counted(
      tokens,
      stop_id=self.stop_id,
      num_steps=num_steps,
      one_too_many=num_steps is not None,
    )
    counts = counts & self.valid[:, None, None]
    return forced_scores(
      model, tokens, counts, start_id=self.start_id, packing=self.packing
    )


class _Best(NamedTuple):
  """The best description of each unit; log probabilities where they are known.

  Attributes:
    found: tokens, scores and margins.
    log_probs: log p(description | regions); None if not computed yet.
    lm_log_probs: log p(description); None if not computed yet.
    work: rows computed by the captioner.
    lm_work: rows computed by the language model; None if it did not run.
    beam: all hypotheses, if they are wanted.
  """

  found: Any
  log_probs: Float[Array, "batch"] | None
  lm_log_probs: Float[Array, "batch"] | None
  work: Work
  lm_work: Work | None
  beam: Beam | None = None


def _greedy(task: _Task) -> _Best:
  parity = task.decoding.parity
  found, work, lm_work = greedy(task.captioner, count_tail=parity, **task.arguments)
  return _Best(found, None, None, work, lm_work)


def _sample(task: _Task, keys: UInt32[Array, "batch words"]) -> _Best:
  found, work, lm_work = sample(task.captioner, keys=key_of(keys), **task.arguments)
  return _Best(found, None, None, work, lm_work)


def _beam(task: _Task) -> _Best:
  beams, work, lm_work = beam_search(
    task.captioner, beam_size=task.decoding.beam_size, **task.arguments
  )
  best = _Best(best_of(beams)[0], None, None, work, lm_work)
  if not task.decoding.keeps_beam:
    return best
  lm_scores: Float[Array, "batch beam"] | None = None
  log_probs = beams.scores
  if task.language_model is not None:
    forced = task.forced(task.language_model, beams.tokens)
    lm_scores, more = forced.scores, forced.work
    best = best._replace(lm_work=more if lm_work is None else add_work(lm_work, more))
    if task.decoding.mi:
      log_probs = log_probs + task.decoding.temperature * lm_scores
  return best._replace(beam=Beam(beams.tokens, beams.scores, log_probs, lm_scores))


def _rerank(
  task: _Task,
  words: ContentWords | None,
  word_scores: Float[Array, "batch words"] | None,
) -> _Best:
  """Beam search, then the best by mutual information of the whole description.

  Args:
    task: the units, and how to search.
    words: the vocabulary's content words, if the search uses them.
    word_scores: log p(word | regions) by the word detectors, if the search uses them.
  """
  decoding = task.decoding
  assert task.language_model is not None, "checked by Decoder"
  beams, work, _ = beam_search(
    task.captioner, beam_size=decoding.beam_size, **task.arguments
  )
  num_steps = jax.lax.pmax(beams.num_steps, AXIS) if decoding.parity else None
  forced = task.forced(task.language_model, beams.tokens, num_steps)
  lm_scores, lm_work = forced.scores, forced.work
  support: Float[Array, "batch beam"] | None = None
  if words is not None and decoding.consensus:
    support = decoding.consensus * log_consensus(beams, words.ids, words.nothing)
  if words is not None and word_scores is not None:
    mean = detected(word_scores, beams.tokens, words.detectors)
    weighted = decoding.word_weight * mean
    if decoding.coverage:
      sure = covered(word_scores, beams.tokens, words.detectors)
      weighted = weighted + decoding.coverage * sure
    support = weighted if support is None else support + weighted
  plausible: Bool[Array, "batch beam"] | None = None
  if decoding.floor:
    plausible = forced.lowest >= -decoding.floor
  if words is not None and not decoding.repeats:
    once = ~repeats_a_word(beams.tokens, words.ids)
    plausible = once if plausible is None else plausible & once
  found, indices, scores = rerank(
    beams,
    lm_scores if decoding.lm_stop else without_stop(forced, beams.tokens, task.stop_id),
    temperature=decoding.temperature,
    support=support,
    plausible=plausible,
  )
  beam: Beam | None = None
  if decoding.keeps_beam:
    beam = Beam(beams.tokens, scores, beams.scores, lm_scores)
  log_probs = jnp.take_along_axis(beams.scores, indices[:, None], axis=1)[:, 0]
  lm_log_probs = None
  if not decoding.parity:
    lm_log_probs = jnp.take_along_axis(lm_scores, indices[:, None], axis=1)[:, 0]
  return _Best(found, log_probs, lm_log_probs, work, lm_work, beam)


def without_stop(
  forced: ForcedOutput, tokens: Int[Array, "batch beam length"], stop_id: int
) -> Float[Array, "batch beam"]:
  """Returns the scores of descriptions without that of their stop, if they have one."""
  stops = jnp.any(tokens == stop_id, axis=-1)
  return forced.scores - jnp.where(stops, forced.last, 0.0)


def _with_log_probs(best: _Best, task: _Task) -> _Best:
  """Computes the log probabilities that the search did not."""
  found, log_probs, lm_log_probs, work, lm_work, beam = best
  decoding = task.decoding
  tokens = found.tokens[:, None]
  if task.language_model is not None and lm_log_probs is None:
    forced = task.forced(task.language_model, tokens)
    lm_log_probs, more = forced.scores[:, 0], forced.work
    lm_work = more if lm_work is None else add_work(lm_work, more)
  if decoding.strategy == "greedy" and decoding.parity:
    forced = task.forced(task.captioner, tokens)
    log_probs, work = forced.scores[:, 0], add_work(work, forced.work)
  elif log_probs is None:
    log_probs = found.scores
    if decoding.mi and lm_log_probs is not None:
      log_probs = log_probs + decoding.temperature * lm_log_probs
  return _Best(found, log_probs, lm_log_probs, work, lm_work, beam)


def decode(
  weights: Weights,
  features: Float[Array, "batch k features"],
  valid: Bool[Array, "batch"],
  keys: UInt32[Array, "batch words"],
  counts: Int[Array, "batch"] | None = None,
  *,
  decoding: Decoding,
  words: ContentWords | None,
  start_id: int,
  stop_id: int,
  platform: str,
) -> tuple[DecodedBatch, Costs]:
  """Describes one device's units, to be compiled under the axis `AXIS`.

  Args:
    weights: both models' parameters.
    features: features of each unit's regions, as they are pooled.
    valid: units that are not padding, which come first.
    keys: data of one key per unit, for the strategy `sample`.
    counts: how many of each unit's regions count, its first ones; None for all.
    decoding: how to search.
    words: the vocabulary's content words, if the search uses them.
    start_id: the token read first.
    stop_id: the token that ends a description.
    platform: kind of the devices that it is compiled for, as `jax.Device.platform`.
  """
  packing = packing_for(platform)
  task = _task(
    weights,
    *(features, valid, counts, decoding, start_id, stop_id, packing),
    length=decoding.length,
  )
  if decoding.strategy == "rerank":
    word_scores = None
    if decoding.needs_word_detectors:
      assert weights.word_detectors is not None, "checked by Decoder"
      word_scores = word_log_probs(weights.word_detectors, task.features, counts)
    best = _rerank(task, words, word_scores)
  elif decoding.strategy == "beam":
    best = _beam(task)
  elif decoding.strategy == "greedy":
    best = _greedy(task)
  else:
    best = _sample(task, keys)
  found, log_probs, lm_log_probs, work, lm_work, beam = _with_log_probs(best, task)
  assert log_probs is not None
  decoded = DecodedBatch(
    found.tokens, found.scores, log_probs, lm_log_probs, found.margins, beam
  )
  # One row of counts for each device.
  costs = jax.tree.map(lambda x: x[None], Costs(work, lm_work))
  return decoded, costs


class TextScores(NamedTuple):
  """Scores of given descriptions, in nats, up to the first stop.

  Attributes:
    log_probs: log p(description | regions), the stop included.
    lm_log_probs: log p(description), the stop included; None without a language model.
    open_lm_log_probs: the same without the stop.
  """

  log_probs: Float[np.ndarray | Array, "batch texts"]
  lm_log_probs: Float[np.ndarray | Array, "batch texts"] | None
  open_lm_log_probs: Float[np.ndarray | Array, "batch texts"] | None


def score(
  weights: Weights,
  features: Float[Array, "batch k features"],
  valid: Bool[Array, "batch"],
  tokens: Int[Array, "batch texts length"],
  counts: Int[Array, "batch"] | None = None,
  *,
  start_id: int,
  stop_id: int,
  platform: str,
) -> TextScores:
  """Scores given descriptions of one device's units (forced decoding).

  Args:
    weights: both models' parameters.
    features: features of each unit's regions, as they are pooled.
    valid: units that are not padding, which come first.
    tokens: of each text, stop included and repeated to the end.
    counts: how many of each unit's regions count, its first ones; None for all.
    start_id: the token read first.
    stop_id: the token that ends a description.
    platform: kind of the devices that it is compiled for, as `jax.Device.platform`.
  """
  decoding, packing = Decoding(), packing_for(platform)
  task = _task(
    weights,
    *(features, valid, counts, decoding, start_id, stop_id, packing),
    length=tokens.shape[-1],
  )
  log_probs = task.forced(task.captioner, tokens).scores
  if task.language_model is None:
    return TextScores(log_probs, None, None)
  forced = task.forced(task.language_model, tokens)
  open_scores = without_stop(forced, tokens, stop_id)
  return TextScores(log_probs, forced.scores, open_scores)


def _task(
  weights: Weights,
  features: Float[Array, "batch k features"],
  valid: Bool[Array, "batch"],
  counts: Int[Array, "batch"] | None,
  decoding: Decoding,
  start_id: int,
  stop_id: int,
  packing: Packing,
  length: int,
) -> _Task:
  """Binds both models to the units; `length` is of the longest description."""
  if weights.projection is not None:
    features = project(features, weights.projection)
  captioner = begin(weights.captioner, features, valid, counts, packing=packing)
  lm = None
  if weights.language_model is not None:
    language_model = language_model_rows(weights.language_model, length)
    first = jnp.zeros(len(features), jnp.int32)  # all units begin at the same state
    lm = BoundModel(language_model, language_model.start(), first)
  return _Task(features, captioner, lm, valid, decoding, start_id, stop_id, packing)
