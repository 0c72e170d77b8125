"""Levels of a real network's activations on photographs, against the exact quantile."""

import numpy as np
import pytest

from milan_jax._src.exemplars import thresholds
from milan_jax._src.exemplars.bins import MANTISSA_BITS
from milan_jax._src.exemplars.masks import activation_masks
from milan_jax._src.images.folder import FolderImages
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.models.backbones import backbone, params_from_state_dict
from milan_jax._src.probe.flax_backbone import FlaxProbe
from milan_jax._src.records import LayerShape
from milan_jax._src.weights.packaged_weights import packaged_weights
from milan_jax._src.weights.state_dicts import read_state_dict

NAME, NUM_IMAGES, BATCH_SIZE = "efficientnet-lite0", 64, 16
# Signed; mostly zero and clipped; signed, late; negative nearly everywhere, late.
LAYERS = ("bn0", "act0", "blocks.10.bn1", "blocks.15.bn1")


@pytest.fixture(scope="module")
def activations(photographs):
  """All activations of each layer, `(images, height, width, units)`."""
  network = backbone(NAME)
  params = params_from_state_dict(NAME, read_state_dict(packaged_weights(NAME)))
  probe = FlaxProbe(network, params)
  source = FolderImages(photographs, Geometry(256, 224))
  found = {name: [] for name in LAYERS}
  for first in range(0, NUM_IMAGES, BATCH_SIZE):
    images = np.stack([source.load(i) for i in range(first, first + BATCH_SIZE)])
    for name, array in probe.activations(images, LAYERS).items():
      found[name].append(np.asarray(array))
  return {name: np.concatenate(arrays) for name, arrays in found.items()}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("capacity", [thresholds.CAPACITY, thresholds.CAPACITY // 64])
def test_the_bound_on_the_error(activations, layer, capacity):
  values = activations[layer]
  _, *sides, units = values.shape
  state = thresholds.start(
    LayerShape(layer, *sides, units),
    num_images=NUM_IMAGES,
    quantile=0.99,
    capacity=capacity,
  )
  no_nan = np.zeros((BATCH_SIZE, units), int)
  for first in range(0, NUM_IMAGES, BATCH_SIZE):
    ids = np.arange(first, first + BATCH_SIZE)
    state = thresholds.update(state, ids, values[ids], no_nan)
  found = thresholds.unit_thresholds(state)
  flat = values.reshape(-1, units).astype(np.float64)
  exact = np.quantile(flat, 0.99, axis=0, method="hazen")
  if state.stride == 1:
    np.testing.assert_array_equal(found, exact.astype(np.float32))
  # Each order statistic is off by less than its bin.
  bound = 2.0**-MANTISSA_BITS * np.abs(exact)
  assert (np.abs(found - exact) <= bound + 1e-30).all()
  if capacity < thresholds.CAPACITY:
    assert state.stride > 1
    varying = np.ptp(flat, axis=0) > 1e-3 * np.abs(exact)
    # At a plateau a last digit decides on all of it; a pass gives such units a margin.
    varying &= (flat == exact).mean(axis=0) <= 0.01
    # The original's own sketch moves 0.3 to 0.5 % of its mask pixels.
    masks = [
      activation_masks(
        values[:16].transpose(0, 3, 1, 2)[:, varying],
        np.broadcast_to(threshold[varying], (16, varying.sum())),
        size=56,
      )
      for threshold in (found, exact.astype(np.float32))
    ]
    assert (masks[0] != masks[1]).sum() <= 0.005 * masks[1].sum()
