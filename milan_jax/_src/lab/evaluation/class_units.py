"""Test: the network's own output units, whose truth is in WordNet.

EfficientNet-Lite0 classifies the mean of its last map. The same weights applied at each
position of the map give one map per class, and so units with a known meaning.
"""

import re
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from milan_jax._src.lab.evaluation import classes
from milan_jax._src.lab.evaluation.described import Run
from milan_jax._src.lab.evaluation.job import Job, Outcome
from milan_jax._src.models.backbones import backbone, params_from_state_dict
from milan_jax._src.probe.jax_model import JaxProbe
from milan_jax._src.probe.model_options import Network, make_network
from milan_jax._src.records import Unit
from milan_jax._src.store.exemplar_store import StoredExemplars
from milan_jax._src.weights.packaged_weights import packaged_weights
from milan_jax._src.weights.state_dicts import read_state_dict

MODEL = "milan_jax._src.lab.evaluation.class_units:class_logits"
LAYER = "class_logits"
# A class unit counts only if at least this fraction of its exemplars shows its class or
# a related class (`classes.lower`).
NEAR_SHARE = 1 / 3
_NAME, _LAST = "efficientnet-lite0", "act1"
_WNID = re.compile(r"n\d{8}")


def class_logits() -> Network:
  """EfficientNet-Lite0 with its classifier at all 7 x 7 positions: 1,000 units."""
  network = backbone(_NAME)
  params = params_from_state_dict(_NAME, read_state_dict(packaged_weights(_NAME)))
  classifier = params["fc"]

  def run(
    params: Any, images: Array, layers: tuple[str, ...] | None
  ) -> dict[str, Array]:
    trunk, (kernel, bias) = params
    maps = network.apply(trunk, images, (_LAST,))[_LAST]
    return {LAYER: jnp.einsum("bhwc,cu->bhwu", maps, kernel) + bias[None, None, None]}

  trunk = {name: branch for name, branch in params.items() if name != "fc"}
  weights = trunk, (jnp.asarray(classifier["kernel"]), jnp.asarray(classifier["bias"]))
  probe = JaxProbe(run, weights, network.preprocessing)
  return make_network(probe, network.preprocessing, (LAYER,))


def run(job: Job) -> Outcome:
  """Describes all class units; counts those whose exemplars show their class.

  Raises:
    MissingSourceError: if there are no photographs.
  """
  images = str(job.need_photographs())
  wnids = classes.wnids()
  truths = {
    Unit(LAYER, number): classes.truth(wnid) for number, wnid in enumerate(wnids)
  }
  run = job.describe_shown("classes", model=MODEL, images=images, truths=truths)
  shares = near_shares(run)
  shown = {_WNID.search(path.name) for path in job.need_photographs().rglob("*")}
  labels = {match[0] for match in shown if match}
  photographed = {Unit(LAYER, n) for n, wnid in enumerate(wnids) if wnid in labels}
  counted = {unit for unit, share in shares.items() if share >= NEAR_SHARE}
  subsets = {
    "shown": frozenset(counted),
    "half near": frozenset(unit for unit, share in shares.items() if share >= 0.5),
    "photographed": frozenset(photographed),
    "all": frozenset(truths),
  }
  notes = [
    f"Counted are the {len(counted)} classes of whose exemplars' photographs at least "
    f"{NEAR_SHARE:.0%} are of the class or near to it in WordNet."
  ]
  if not labels:
    notes = ["The photographs' names tell no class (n01440764_tench.jpg): none counts."]
  return Outcome((run,), subsets, "shown", tuple(notes))


def near_shares(run: Run) -> dict[Unit, float]:
  """Returns the fraction of each class unit's exemplars that show a related class.

  A photograph's class is the WordNet id in its file name. A photograph without an id is
  not related to any class.
  """
  store = StoredExemplars(run.exemplars)
  found = store.exemplars(LAYER)
  rows = np.arange(store.num_images)
  labels = [_WNID.search(name) for name in store.image_names(rows)]
  known = frozenset(classes.wnids())
  near = [
    classes.lower(label[0]) if label and label[0] in known else frozenset()
    for label in labels
  ]
  shares = {}
  for unit, image_rows in zip(found.signed_units(), found.image_rows, strict=True):
    own = classes.lower(classes.wnids()[unit.index])
    hits = [bool(own & near[row]) for row in image_rows.tolist()]
    shares[unit] = float(np.mean(hits))
  return shares
