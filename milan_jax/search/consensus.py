"""Consensus: how much of what the other hypotheses say each hypothesis says too.

The probability of one meaning is split among all the ways to put it, so that a meaning
with few wordings wins by likelihood over a likelier one with many. The expected
similarity to the whole beam brings them together again.

Source: minimum Bayes risk decoding (Kumar and Byrne 2004), with the F1 of content words
as the gain and the beam for the samples.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from milan_jax.search.steps import Beams

# Number of the content word of all that says that there is nothing to say.
_NOTHING = -1


def log_consensus(
  beams: Beams,
  content_ids: Int[Array | np.ndarray, "vocab"],
  nothing: Int[Array | np.ndarray, "sayings length"],
) -> Float[Array, "batch beam"]:
  """The log of each hypothesis's expected similarity to those of its unit.

  The similarity of two hypotheses is the F1 of their sets of content words: 1 if both
  have none. The expectation is over the beam, by `p(description | regions)`.

  Args:
    beams: hypotheses with their `log p(description | regions)`.
    content_ids: of each token the number of its content word, from 1; 0 if none.
    nothing: tokens of descriptions that are one and the same, that there is nothing to
      say; after the end, stops.

  Returns:
    At most 0, which all of a beam have that say the same.
  """
  words = _content(beams.tokens, jnp.asarray(content_ids), jnp.asarray(nothing))
  counts = jnp.sum(words != 0, axis=-1)
  one, other = words[:, :, None, :, None], words[:, None, :, None, :]
  shared = jnp.sum((one == other) & (one != 0), axis=(-2, -1))
  total = counts[:, :, None] + counts[:, None, :]
  similar = jnp.where(total > 0, 2 * shared / jnp.maximum(total, 1), 1.0)
  weights = jax.nn.softmax(beams.scores, axis=-1)
  return jnp.log(jnp.einsum("bhg,bg->bh", similar, weights))


def _content(
  tokens: Int[Array, "batch beam length"],
  content_ids: Int[Array, "vocab"],
  nothing: Int[Array, "sayings length"],
) -> Int[Array, "batch beam length"]:
  """Content words of each hypothesis, each once; 0 elsewhere."""
  found = content_ids[tokens]
  before = jnp.tri(tokens.shape[-1], k=-1, dtype=bool)[None, None]
  repeated = jnp.any((found[..., :, None] == found[..., None, :]) & before, axis=-1)
  empty: Bool[Array, "batch beam"] = jnp.any(
    jnp.all(tokens[:, :, None] == nothing[None, None], axis=-1), axis=-1
  )
  first = jnp.zeros(tokens.shape[-1], found.dtype).at[0].set(_NOTHING)
  return jnp.where(empty[..., None], first[None, None], jnp.where(repeated, 0, found))
