"""Test: EfficientNet-Lite0's first filters, with truths computed from the kernels."""

import numpy as np
from jaxtyping import Float

from milan_jax._src.images.preprocessing import EFFICIENTNET_LITE
from milan_jax._src.lab.evaluation.job import Job, Outcome
from milan_jax._src.lab.evaluation.kernels import preferences
from milan_jax._src.records import Unit
from milan_jax._src.text.judge import Truth
from milan_jax._src.weights.packaged_weights import packaged_weights
from milan_jax._src.weights.state_dicts import read_state_dict

LAYER = "bn0"


def kernels() -> Float[np.ndarray, "32 3 3 3"]:
  """Returns the stem's kernels multiplied by the scale of their batch norm."""
  weights = read_state_dict(packaged_weights("efficientnet-lite0"))
  variance = weights["_bn0.running_var"].astype(float) + 1e-3
  scale = weights["_bn0.weight"] / np.sqrt(variance)
  return weights["_conv_stem.weight"] * scale[:, None, None, None]


def truths() -> dict[Unit, Truth]:
  """Returns the truths of the stem's live filters."""
  how = EFFICIENTNET_LITE
  found = preferences(kernels(), mean=how.mean, std=how.std)
  return {Unit(LAYER, unit): known.truth() for unit, known in found.items()}


def run(job: Job) -> Outcome:
  """Describes the stem's units on the given or else the packaged photographs."""
  images = str(job.photographs or "")
  known = truths()
  run = job.describe_shown(
    "stem", images=images or None, layers=LAYER, units="all", truths=known
  )
  note = f"{32 - len(known)} of 32 filters have no weights to speak of: not judged."
  where = () if images else ("Shown the packaged photographs: no --images.",)
  return Outcome((run,), notes=(note, *where))
