"""Descriptions that repeat a content word: "vehicles and vehicles"."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int


def repeats_a_word(
  tokens: Int[Array, "batch beam length"], content_ids: Int[np.ndarray, "vocab"]
) -> Bool[Array, "batch beam"]:
  """Returns whether each hypothesis has a content word twice.

  Args:
    tokens: hypotheses; what follows a stop has no content word.
    content_ids: number of each token's content word, from 1; 0 for tokens without one.
      Singular and plural of a word have the same number.
  """
  words = jnp.sort(jnp.asarray(content_ids)[tokens], axis=-1)
  same = words[..., 1:] == words[..., :-1]
  return jnp.any(same & (words[..., 1:] > 0), axis=-1)
