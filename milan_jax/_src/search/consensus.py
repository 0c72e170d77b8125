"""Consensus, the minimum Bayes risk (MBR) weight: similarity to the other hypotheses.

The probability of a meaning is divided among its wordings. By likelihood, a meaning
with few wordings can therefore rank above a more likely meaning with many wordings. The
expected similarity to the whole beam sums over the wordings.

Source: minimum Bayes risk decoding (Kumar and Byrne 2004), with the F1 of content words
as the gain and the beam for the samples.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from milan_jax._src.search.steps import Beams

_BITS = 32


def log_consensus(
  beams: Beams,
  content_ids: Int[np.ndarray, "vocab"],
  nothing: Int[np.ndarray, "sayings length"],
) -> Float[Array, "batch beam"]:
  """Returns the log of each hypothesis's expected similarity to those of its unit.

  The similarity of two hypotheses is the F1 of their sets of content words: 1 if both
  have none. The expectation is over the beam, by `p(description | regions)`.

  Args:
    beams: hypotheses with their `log p(description | regions)`.
    content_ids: number of each token's content word, from 1; 0 for tokens without one.
    nothing: tokens of the descriptions that mean "nothing to describe", padded with
      stops. They count as the same description, unlike any other.

  Returns:
    Values of at most 0; all are 0 in a beam whose hypotheses have the same content.
  """
  sets = _content(beams.tokens, content_ids, nothing)
  counts = _sizes(sets)
  shared = _sizes(sets[:, :, None] & sets[:, None])
  total = counts[:, :, None] + counts[:, None, :]
  similar = jnp.where(total > 0, 2 * shared / jnp.maximum(total, 1), 1.0)
  weights = jax.nn.softmax(beams.scores, axis=-1)
  return jnp.log(jnp.einsum("bhg,bg->bh", similar, weights))


def _sizes(sets: UInt32[Array, "*batch words"]) -> Int[Array, "*batch"]:
  return jnp.sum(jax.lax.population_count(sets).astype(jnp.int32), axis=-1)


def _content(
  tokens: Int[Array, "batch beam length"],
  content_ids: Int[np.ndarray, "vocab"],
  nothing: Int[np.ndarray, "sayings length"],
) -> UInt32[Array, "batch beam words"]:
  """Returns each hypothesis's set of content words as bits; bit 0 means `nothing`."""
  ids = jnp.asarray(content_ids)[tokens]
  bits = jnp.where(ids > 0, jnp.uint32(1) << (ids % _BITS).astype(jnp.uint32), 0)
  words = jnp.arange(content_ids.max() // _BITS + 1)
  here = (ids // _BITS)[..., None] == words[None, None, None]
  sets = jax.lax.reduce(
    jnp.where(here, bits[..., None], 0), np.uint32(0), jax.lax.bitwise_or, (2,)
  )
  empty: Bool[Array, "batch beam"] = jnp.any(
    jnp.all(tokens[:, :, None] == jnp.asarray(nothing)[None, None], axis=-1), axis=-1
  )
  only = (words == 0).astype(jnp.uint32)[None, None]
  return jnp.where(empty[..., None], only, sets)
