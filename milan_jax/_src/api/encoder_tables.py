"""What the features of regions depend on besides the regions: their encoder."""

import itertools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from milan_jax._src.files.digests import sha256_of
from milan_jax._src.store.release import INCLUDED, EncoderSpec


def encoder_table(spec: EncoderSpec, params: Any | None) -> dict[str, Any]:
  """What features depend on besides the regions, as JSON.

  Args:
    spec: what the release says of its encoder.
    params: the backbone's parameters, where the release includes them.
  """
  weights = spec.weights
  if weights == INCLUDED:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    parts = ((jax.tree_util.keystr(path), np.asarray(x)) for path, x in leaves)
    weights = sha256_of(itertools.chain.from_iterable(parts))
  return {
    "backbone": spec.backbone,
    "levels": list(spec.levels),
    "mean": list(spec.mean),
    "std": list(spec.std),
    "pooling": spec.pooling,
    "packaged": spec.weights != INCLUDED,
    "weights": weights,
  }


def encoder_difference(found: Mapping[str, Any], own: Mapping[str, Any]) -> str:
  """In what two tables of `encoder_table` differ, in words; empty if in nothing.

  Weights of a package are not compared with those of a release: they may be equal.
  """
  same_kind = found.get("packaged") == own["packaged"]
  names = [
    name for name in own if name != "packaged" and (name != "weights" or same_kind)
  ]
  return ", ".join(name for name in names if found.get(name) != own[name])
