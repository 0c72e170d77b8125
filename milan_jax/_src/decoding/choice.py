"""Chooses among the hypotheses of a beam, on the host.

No description gives a person a color or judges one. Beside the best hypothesis, the
best that says something is found: it is the description if the confidence in it
suffices, and otherwise the guess that is withheld. How much of the beam says that there
is nothing to describe, and how far the beam agrees with the hypothesis, is evidence.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from milan_jax._src.decoding.program import Beam, DecodedBatch, Something
from milan_jax._src.text.content_words import ContentWords
from milan_jax._src.text.persons import judges_persons
from milan_jax._src.text.reconstruction import reconstruct_ids
from milan_jax._src.text.vocabulary import Vocabulary

# No log share of a beam is smaller.
LEAST_LOG_SHARE = -12.0


def choose(
  decoded: DecodedBatch,
  vocabulary: Vocabulary,
  words: ContentWords,
  *,
  guarded: bool,
) -> DecodedBatch:
  """Replaces descriptions that may not be given, and adds the best that say something.

  The margin of a replaced description is that among the hypotheses that may be given. A
  unit without any keeps its description, which whoever shows it has to withhold.

  Args:
    decoded: descriptions and their beams, as NumPy arrays.
    vocabulary: the captioner's.
    words: its content words, and the descriptions of no pattern.
    guarded: whether some descriptions may not be given; see `Decoding.guarded`.

  Returns:
    The same without the beams.
  """
  beam = decoded.beam
  if beam is None:
    return decoded
  says_nothing = _says_nothing(np.asarray(beam.tokens), words)
  every = np.zeros_like(says_nothing)
  best, second = _best_places(beam, vocabulary, every, guarded)
  chosen = _picked(decoded, beam, best, second)
  if not guarded:
    chosen = decoded._replace(beam=None)
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
  tokens: Int[np.ndarray, "batch beam length"], words: ContentWords
) -> Bool[np.ndarray, "batch beam"]:
  same = tokens[:, :, None] == words.nothing[None, None]
  found: np.ndarray = same.all(-1).any(-1)
  return found


def _best_places(
  beam: Beam,
  vocabulary: Vocabulary,
  left_out: Bool[np.ndarray, "batch beam"],
  guarded: bool,
) -> tuple[Int[np.ndarray, "batch"], Int[np.ndarray, "batch"]]:
  """Places of each unit's best and second best hypothesis; -1 where there is none."""
  places = np.full((len(left_out), 2), -1)
  for unit, row in enumerate(left_out):
    ranked = np.asarray(beam.scores[unit])
    order = np.argsort(-ranked, kind="stable")
    there = order[np.isfinite(ranked[order]) & ~row[order]]
    allowed = _allowed(np.asarray(beam.tokens[unit]), there, vocabulary, guarded)
    for number, place in zip(range(2), allowed, strict=False):
      places[unit, number] = place
  return places[:, 0], places[:, 1]


def _allowed(
  tokens: Int[np.ndarray, "beam length"],
  places: Int[np.ndarray, "some"],
  vocabulary: Vocabulary,
  guarded: bool,
) -> Iterator[int]:
  """Yields the hypotheses that may be given, in order."""
  for place in places.tolist():
    if not guarded or not judges_persons(reconstruct_ids(tokens[place], vocabulary)):
      yield place


def _picked(
  decoded: DecodedBatch,
  beam: Beam,
  best: Int[np.ndarray, "batch"],
  second: Int[np.ndarray, "batch"],
) -> DecodedBatch:
  """The best hypotheses as descriptions; units without one keep theirs."""
  rows = np.arange(len(best))
  has = best >= 0
  scores = np.asarray(beam.scores)
  leads = np.where(second >= 0, scores[rows, best] - scores[rows, second], np.inf)
  same = (np.asarray(beam.tokens)[rows, best] == decoded.tokens).all(-1)
  # What the search chose keeps its own numbers, which may be summed in another order.
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
  """Each hypothesis's share of its beam, by p(description | regions)."""
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
  """Log of the expected F1 of content words of one hypothesis with those of its beam.

  The same as `search.consensus`, which the search computes for all of them.
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
