"""One real network through three probes: the same exemplars, thresholds and masks."""

import sys

import numpy as np
import pytest

from milan_jax._src.exemplars.accumulation import CollectOptions, collect
from milan_jax._src.exemplars.masks import activation_masks
from milan_jax._src.images.demo import DemoImages
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.models.backbones import backbone

NAME, NUM_IMAGES, K = "efficientnet-lite0", 64, 15


class Some(DemoImages):
  """Crops from all over the packaged photographs."""

  def __len__(self):
    return NUM_IMAGES

  def load(self, index):
    return super().load(self._whole(index))

  def groups(self):
    return super().groups()[[self._whole(index) for index in range(NUM_IMAGES)]]

  def _whole(self, index):
    return index * (super().__len__() - 1) // (NUM_IMAGES - 1)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
  """What each probe finds, layer by layer."""
  sys.path.insert(0, "benchmarks")
  try:
    from bench_exemplars import open_probe
  finally:
    sys.path.remove("benchmarks")
  network = backbone(NAME)
  wanted = network.preprocessing
  source = Some(Geometry(wanted.resize, wanted.crop, wanted.interpolation))
  results = {}
  for kind in ("torch", "onnx", "flax"):
    folder = str(tmp_path_factory.mktemp(kind))
    probe, names = open_probe(kind, NAME, network.default_layers, folder)
    found = collect(probe, source, names, CollectOptions(k=K, tail="auto"))
    results[kind] = tuple(found.layers.values())
  return results


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_the_same_exemplars_and_masks(found, kind):
  differing = pixels = offs = 0
  for ours, theirs in zip(found["flax"], found[kind], strict=True):
    alive = ~(ours.dead | theirs.dead)
    spread = np.ptp(ours.maps, axis=(1, 2, 3))
    # Units of hardly any weight vary in nothing but their last digits.
    alive &= spread > 1e-4 * np.median(spread)
    # Rounding decides of no unit whether it rests at its maximum.
    np.testing.assert_array_equal(ours.off[alive], theirs.off[alive])
    offs += int(ours.off[alive].sum())
    spread = spread[alive, None]
    gap = np.abs(ours.activations - theirs.activations)[alive]
    assert (gap <= 1e-4 * spread + 1e-5).all()
    same = ours.image_ids[alive] == theirs.image_ids[alive]
    # Where another image is there, it is as good: a tie, but for the last digits.
    near = _gaps_to_neighbors(ours.activations[alive]) <= 2e-4 * spread + 2e-5
    assert (same | near).all()
    assert same.mean() > 0.99
    masks = [
      activation_masks(
        each.maps, np.repeat((each.thresholds + each.margins)[:, None], K, 1), size=112
      )
      for each in (ours, theirs)
    ]
    ids_alike = (ours.image_ids == theirs.image_ids) & alive[:, None]
    differing += (masks[0] != masks[1])[ids_alike].sum()
    pixels += masks[0][ids_alike].size
  assert differing <= 1e-3 * pixels
  assert offs > 100


def _gaps_to_neighbors(activations):
  """How far each exemplar's maximum is from the next better or worse one's."""
  gaps = np.abs(np.diff(activations, axis=1))
  wide = np.pad(gaps, ((0, 0), (1, 1)), mode="edge")
  return np.minimum(wide[:, 1:], wide[:, :-1])
