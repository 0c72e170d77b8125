"""Chooses among the hypotheses of a beam, on the host.

Hypotheses that give persons a color or judge them are not chosen, and broken phrases
only where there are no others. Besides the best hypothesis, the best informative one is
found, which describes a pattern: it becomes the description if its confidence is high
enough, and otherwise the withheld guess. Two values are evidence for confidence: the
beam's share of hypotheses that describe no pattern, and the agreement of the beam with
the informative hypothesis.
"""

import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from milan_jax._src.decoding.program import Beam, DecodedBatch, Something
from milan_jax._src.text.content_words import ContentWords
from milan_jax._src.text.fluency import is_broken
from milan_jax._src.text.persons import judges_persons
from milan_jax._src.text.reconstruction import reconstruct_ids
from milan_jax._src.text.vocabulary import Vocabulary

# Hypotheses of a beam that are kept by score; the most likely and the most informative
# one come in addition.
NUM_KEPT = 5
# Minimum of the logarithm of a share of a beam.
LEAST_LOG_SHARE = -12.0


def choose(
  decoded: DecodedBatch,
  vocabulary: Vocabulary,
  words: ContentWords,
  *,
  guarded: bool,
) -> DecodedBatch:
  """Replaces forbidden descriptions, and adds the best informative ones.

  The margin of a replacement is computed among the allowed hypotheses. A unit without
  an allowed hypothesis keeps its description, which the caller has to withhold.

  Args:
    decoded: descriptions and their beams, as NumPy arrays.
    vocabulary: the captioner's vocabulary.
    words: its content words, and the descriptions of no pattern.
    guarded: whether some descriptions are forbidden; see `Decoding.guarded`.

  Returns:
    The chosen descriptions, without beams.
  """
  beam = decoded.beam
  if beam is None:
    return decoded
  says_nothing = _says_nothing(np.asarray(beam.tokens), words, vocabulary.stop_id)
  every = np.zeros_like(says_nothing)
  best, second = _best_places(beam, vocabulary, every, guarded)
  chosen = _picked(decoded, beam, best, second)
  if not guarded:
    chosen = decoded._replace(beam=None)
  chosen = chosen._replace(best=_kept(beam, vocabulary, guarded))
  best, second = _best_places(beam, vocabulary, says_nothing, guarded)
  found = _picked(chosen, beam, best, second)
  shares = _shares(beam)
  nothing = np.log(np.maximum((shares * says_nothing).sum(1), np.exp(LEAST_LOG_SHARE)))
  consensus = np.array(
    [
      _consensus(row, share, is_nothing, place, words)
      for row, share, is_nothing, place in zip(
        np.asarray(beam.tokens), shares, says_nothing, best.tolist(), strict=True
      )
    ]
  )
  return chosen._replace(something=Something(found, nothing, consensus))


def _says_nothing(
  tokens: Int[np.ndarray, "batch beam length"], words: ContentWords, stop_id: int
) -> Bool[np.ndarray, "batch beam"]:
  """Finds hypotheses that end with a description of no pattern, or are one.

  "Corners of pictures with nothing in common" is one too, and so is what fits any unit,
  such as "various kinds of things".
  """
  length = tokens.shape[-1]
  # As `text.content_words.fits_any_unit`; a stop has no content word.
  varied = words.variety[tokens]
  found: np.ndarray = ((words.ids[tokens] == 0) | varied).all(-1) & varied.any(-1)
  for saying in words.nothing:
    own = int((saying != stop_id).sum())
    for start in range(length - own + 1) if own else ():
      found |= (tokens[..., start:] == saying[: length - start]).all(-1)
  return found


def _best_places(
  beam: Beam,
  vocabulary: Vocabulary,
  left_out: Bool[np.ndarray, "batch beam"],
  guarded: bool,
) -> tuple[Int[np.ndarray, "batch"], Int[np.ndarray, "batch"]]:
  """Returns indices of each unit's best and second best hypothesis; -1 for none."""
  places = np.full((len(left_out), 2), -1)
  for unit, row in enumerate(left_out):
    ranked = np.asarray(beam.scores[unit])
    order = np.argsort(-ranked, kind="stable")
    there = order[np.isfinite(ranked[order]) & ~row[order]]
    allowed = _allowed(np.asarray(beam.tokens[unit]), there, vocabulary, guarded)
    for number, place in zip(range(2), allowed, strict=False):
      places[unit, number] = place
  return places[:, 0], places[:, 1]


def _kept(beam: Beam, vocabulary: Vocabulary, guarded: bool) -> Beam:
  """Returns the best hypotheses, and the most likely and the most informative one."""
  units, size = np.shape(beam.scores)
  places = np.full((units, min(NUM_KEPT + 2, size)), -1)
  log_probs = np.asarray(beam.log_probs)
  ranks = [log_probs]
  if beam.lm_log_probs is not None:
    with np.errstate(invalid="ignore"):  # of hypotheses that are not in the running
      ranks.append(log_probs - np.asarray(beam.lm_log_probs))
  for unit in range(units):
    scores, tokens = np.asarray(beam.scores[unit]), np.asarray(beam.tokens[unit])
    found: list[int] = []
    for values, count in ((scores, NUM_KEPT), *((rank[unit], 1) for rank in ranks)):
      order = np.argsort(-values, kind="stable")
      allowed = _allowed(tokens, order[np.isfinite(scores[order])], vocabulary, guarded)
      found += itertools.islice(allowed, count)
    kept = sorted(set(found), key=lambda place: (-scores[place], place))
    kept = kept[: places.shape[1]]
    places[unit, : len(kept)] = kept

  def taken(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    index = places.reshape(*places.shape, *[1] * (values.ndim - 2))
    return np.take_along_axis(values, np.maximum(index, 0), axis=1)

  lm_log_probs = beam.lm_log_probs
  return Beam(
    tokens=taken(np.asarray(beam.tokens)),
    scores=np.where(places < 0, -np.inf, taken(np.asarray(beam.scores))),
    log_probs=taken(log_probs),
    lm_log_probs=None if lm_log_probs is None else taken(np.asarray(lm_log_probs)),
  )


def _allowed(
  tokens: Int[np.ndarray, "beam length"],
  places: Int[np.ndarray, "some"],
  vocabulary: Vocabulary,
  guarded: bool,
) -> Iterator[int]:
  """Yields the indices of the allowed hypotheses, in the order of `places`.

  If guarded, those that are not complete sentences or phrases come last.
  """
  broken = []
  for place in places.tolist():
    if guarded:
      text = reconstruct_ids(tokens[place], vocabulary)
      if judges_persons(text):
        continue
      if is_broken(text):
        broken.append(place)
        continue
    yield place
  yield from broken


def _picked(
  decoded: DecodedBatch,
  beam: Beam,
  best: Int[np.ndarray, "batch"],
  second: Int[np.ndarray, "batch"],
) -> DecodedBatch:
  """Returns the best hypotheses as descriptions; units without one keep theirs."""
  rows = np.arange(len(best))
  has = best >= 0
  scores = np.asarray(beam.scores)
  with np.errstate(invalid="ignore"):  # the last one may not be in the running
    leads = scores[rows, best] - scores[rows, second]
  leads = np.where(second >= 0, leads, np.inf)
  same = (np.asarray(beam.tokens)[rows, best] == decoded.tokens).all(-1)
  # The search's own choice keeps its numbers, which may be summed in another order.
  changed = has & ~same

  def pick(own: np.ndarray, of_beam: np.ndarray) -> np.ndarray:
    shape = (-1,) + (1,) * (np.ndim(own) - 1)
    picked: np.ndarray = np.where(
      changed.reshape(shape), np.asarray(of_beam)[rows, best], own
    )
    return picked

  lm_log_probs = decoded.lm_log_probs
  if lm_log_probs is not None and beam.lm_log_probs is not None:
    lm_log_probs = pick(np.asarray(lm_log_probs), np.asarray(beam.lm_log_probs))
  return DecodedBatch(
    tokens=pick(np.asarray(decoded.tokens), np.asarray(beam.tokens)),
    scores=pick(np.asarray(decoded.scores), scores),
    log_probs=pick(np.asarray(decoded.log_probs), np.asarray(beam.log_probs)),
    lm_log_probs=lm_log_probs,
    margins=np.where(changed, leads, np.asarray(decoded.margins)).astype(np.float32),
  )


def _shares(beam: Beam) -> Float[np.ndarray, "batch beam"]:
  """Returns each hypothesis's share of its beam, by p(description | regions)."""
  log_probs = np.where(
    np.isfinite(np.asarray(beam.scores)), np.asarray(beam.log_probs), -np.inf
  ).astype(np.float64)
  weights = np.exp(log_probs - log_probs.max(axis=1, keepdims=True))
  shares: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
  return shares


def _consensus(
  tokens: Int[np.ndarray, "beam length"],
  shares: Float[np.ndarray, "beam"],
  says_nothing: Bool[np.ndarray, "beam"],
  place: int,
  words: ContentWords,
) -> float:
  """Returns the log of the expected F1 of one hypothesis's content words in its beam.

  `search.consensus` computes the same for all hypotheses, but a hypothesis that only
  ends with a saying of nothing is there as any other.
  """
  has = np.zeros((len(tokens), int(words.ids.max()) + 1), bool)
  np.put_along_axis(has, words.ids[tokens], True, axis=1)
  has[:, 0] = False
  has[says_nothing] = False
  has[says_nothing, 0] = True
  counts = has.sum(1)
  shared = (has & has[place]).sum(1)
  total = counts + counts[place]
  similar = np.where(total > 0, 2 * shared / np.maximum(total, 1), 1.0)
  return float(np.log(np.maximum((similar * shares).sum(), np.exp(LEAST_LOG_SHARE))))
