"""BLEU of greedy captions of held-out units during training."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Array, Bool, Float, Int, PyTree

from milan_jax._src.decoding.program import decode
from milan_jax._src.decoding.weights import fuse_weights
from milan_jax._src.options.decoding import Decoding
from milan_jax._src.runs.precision import full_float32
from milan_jax._src.text.bleu import bleu
from milan_jax._src.text.reconstruction import reconstruct_ids
from milan_jax._src.text.vocabulary import Vocabulary
from milan_jax._src.training.batches import Gather

# Batch size: the units in one compiled program.
BATCH = 64


class GreedyBleu:
  """Computes the BLEU of a captioner's weights; compiles only once.

  Captions are decoded greedily without the language model. Captions and references are
  compared in lower case without trailing dots and spaces, as in the original. The
  original uses only as many references per unit as every unit has; here all are used.
  """

  def __init__(
    self,
    gather: Gather,
    summaries: Sequence[Sequence[str]],
    *,
    vocabulary: Vocabulary,
    length: int,
  ):
    """Compiles nothing yet.

    Args:
      gather: returns the captioner's input features of units.
      summaries: the annotations of each unit.
      vocabulary: the captioner's vocabulary.
      length: maximum number of tokens per caption, including stop.
    """
    self._gather = gather
    self._summaries = [[_plain(text) for text in texts] for texts in summaries]
    self._vocabulary = vocabulary
    greedy = functools.partial(
      _greedy,
      decoding=Decoding("greedy", length=length),
      start_id=vocabulary.start_id,
      stop_id=vocabulary.stop_id,
      platform=jax.devices()[0].platform,
    )
    self._captions = jax.jit(full_float32(greedy))

  def __call__(
    self, params: PyTree, rows: Int[np.ndarray, "units"]
  ) -> dict[str, float]:
    """Returns the BLEU, 0 to 100, of the units at `rows`, under the key "bleu"."""
    if jax.process_count() > 1:
      # Each process decodes on a device of its own, from the whole weights.
      params = jax.tree.map(np.asarray, params)
    said: list[str] = []
    for start in range(0, len(rows), BATCH):
      features = self._gather(rows[start : start + BATCH])
      number = len(features)
      padded = np.pad(features, ((0, BATCH - number), (0, 0), (0, 0)))
      tokens = np.asarray(self._captions(params, padded, np.arange(BATCH) < number))
      said += [reconstruct_ids(row, self._vocabulary) for row in tokens[:number]]
    known = [self._summaries[row] for row in rows.tolist()]
    found = bleu([_plain(text) for text in said], known)
    if jax.process_count() > 1:
      # All must stop at the same epoch, also if their processors round differently.
      found = float(multihost_utils.broadcast_one_to_all(np.float32(found)))
    return {"bleu": found}


def _plain(text: str) -> str:
  return text.lower().strip(". ")


def _greedy(
  params: Any,
  features: Float[Array, "batch k features"],
  valid: Bool[Array, "batch"],
  *,
  decoding: Decoding,
  start_id: int,
  stop_id: int,
  platform: str,
) -> Int[Array, "batch length"]:
  weights = fuse_weights({"captioner": params}, dtype=jnp.float32)
  keys = jnp.zeros((len(valid), 2), jnp.uint32)  # unused by greedy decoding
  found, _ = decode(
    weights,
    features,
    valid,
    keys,
    decoding=decoding,
    words=None,
    start_id=start_id,
    stop_id=stop_id,
    platform=platform,
  )
  return jnp.asarray(found.tokens)
