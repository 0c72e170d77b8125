"""Gives no description that gives a person a color or judges one."""

import numpy as np
from jaxtyping import Int

from milan_jax._src.decoding.program import DecodedBatch
from milan_jax._src.text.persons import judges_persons
from milan_jax._src.text.reconstruction import reconstruct_ids
from milan_jax._src.text.vocabulary import Vocabulary


def best_allowed(decoded: DecodedBatch, vocabulary: Vocabulary) -> DecodedBatch:
  """Replaces descriptions that may not be given by the next best of their beams.

  The margin of such a unit is that among the hypotheses that may be given. A unit
  without any keeps its description, which whoever shows it has to withhold.

  Args:
    decoded: descriptions and their beams, as NumPy arrays.
    vocabulary: the captioner's.

  Returns:
    The same without the beams.
  """
  beam = decoded.beam
  if beam is None:
    return decoded

  def allowed(tokens: Int[np.ndarray, "length"]) -> bool:
    return not judges_persons(reconstruct_ids(tokens, vocabulary))

  # Copies: what comes from a device cannot be written to.
  tokens, scores, log_probs, margins = (
    np.array(x)
    for x in (decoded.tokens, decoded.scores, decoded.log_probs, decoded.margins)
  )
  lm_log_probs = None
  if decoded.lm_log_probs is not None:
    lm_log_probs = np.array(decoded.lm_log_probs)
  for unit in range(len(tokens)):
    if allowed(tokens[unit]):
      continue
    ranked = np.asarray(beam.scores[unit])
    places = [
      int(place)
      for place in np.argsort(-ranked, kind="stable")
      if np.isfinite(ranked[place]) and allowed(np.asarray(beam.tokens[unit][place]))
    ]
    if not places:
      continue
    best, *others = places
    tokens[unit], scores[unit] = beam.tokens[unit][best], ranked[best]
    log_probs[unit] = beam.log_probs[unit][best]
    if lm_log_probs is not None and beam.lm_log_probs is not None:
      lm_log_probs[unit] = beam.lm_log_probs[unit][best]
    margins[unit] = ranked[best] - ranked[others[0]] if others else np.inf
  return DecodedBatch(tokens, scores, log_probs, lm_log_probs, margins)
