"""Against what the original computes on a small network and 200 images."""

import numpy as np
import pytest

from milan_jax._src.exemplars.accumulation import CollectOptions, collect
from milan_jax._src.exemplars.masks import activation_masks
from milan_jax._src.images.arrays import open_array_images
from milan_jax._src.store.exemplar_store import StoredExemplars, write_exemplars
from milan_jax._src.store.original_layout import (
  OriginalExemplars,
  write_original_layout,
)
from tests.exemplars import tiny
from tests.helpers import recorded
from tests.helpers.devices import tolerance, torch_device

pytestmark = pytest.mark.device
K = 5
# Unit 4 of layer3 is dead and unit 2 has ties: their exemplars are arbitrary.
ARBITRARY = {"layer3": [2, 4]}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
  folder = tmp_path_factory.mktemp("original")
  recorded.write_exemplars(folder)
  return folder


@pytest.fixture(scope="module")
def arrays():
  return recorded.exemplar_arrays()


@pytest.fixture(scope="module", params=["torch", "jax"])
def collected(original, request):
  weights = recorded.exemplar_weights()
  if request.param == "torch":
    probe = tiny.probe(64, weights, device=torch_device())
  else:
    probe = tiny.jax_probe(weights)
  source = open_array_images(original / "images.npz")
  return source, collect(probe, source, tiny.LAYERS, CollectOptions(k=K, batch_size=32))


def clear_units(layer, found):
  return np.setdiff1d(np.arange(len(found.thresholds)), ARBITRARY.get(layer, []))


@pytest.mark.parametrize("layer", tiny.LAYERS)
def test_ids_and_activations(original, collected, layer):
  found = collected[1].layers[layer]
  ids = np.loadtxt(original / layer / "ids.csv", delimiter=",", dtype=int)
  units = clear_units(layer, found)
  np.testing.assert_array_equal(found.image_ids[units], ids[units])
  activations = np.loadtxt(original / layer / "activations.csv", delimiter=",")
  # Six digits were written.
  np.testing.assert_allclose(
    found.activations, activations, rtol=tolerance(1e-5, 1e-4), atol=1e-5
  )
  assert found.dead.tolist() == [
    layer == "layer3" and unit == 4 for unit in range(len(ids))
  ]


@pytest.mark.parametrize("layer", tiny.LAYERS)
def test_thresholds_are_exact_quantiles_and_near_the_sketch(arrays, collected, layer):
  found = collected[1].layers[layer]
  alive = ~found.dead
  # Convolutions differ in their last bits from machine to machine.
  np.testing.assert_allclose(
    found.thresholds[alive],
    arrays[f"{layer}/exact_hazen"][alive],
    rtol=tolerance(1e-5, 1e-4),
    atol=1e-6,
  )
  error = np.abs(found.thresholds - arrays[f"{layer}/sketch"])[alive]
  assert error.max() <= arrays[f"{layer}/sketch_error"] + 1e-5


@pytest.mark.parametrize("layer", tiny.LAYERS)
def test_masks(arrays, collected, layer):
  found = collected[1].layers[layer]
  want = arrays[f"{layer}/masks"][:, :, 0] != 0
  units = clear_units(layer, found)
  theirs = arrays[f"{layer}/sketch"]
  differing = {}
  for name, thresholds in (("ours", found.thresholds), ("theirs", theirs)):
    spread = np.repeat(thresholds[:, None], K, axis=1)
    masks = activation_masks(found.maps, spread, size=32)
    differing[name] = (masks != want)[units].sum()
  assert differing["theirs"] == 0
  assert differing["ours"] <= 0.005 * want[units].sum()


def test_the_stores_hold_the_original(original, collected, tmp_path):
  source, found = collected
  write_exemplars(tmp_path / "store", found.layers, source)
  store = StoredExemplars(tmp_path / "store")
  write_original_layout(tmp_path / "layout", store, size=32)
  ours = OriginalExemplars(tmp_path / "layout")
  theirs = OriginalExemplars(original)
  assert ours.layers == theirs.layers == tiny.LAYERS
  for layer in tiny.LAYERS:
    units = clear_units(layer, found.layers[layer])
    a, b = ours.exemplars(layer), theirs.exemplars(layer)
    np.testing.assert_array_equal(a.image_ids[units], b.image_ids[units])
    # Its bytes went through floating point and were cut: one less here and there.
    pixels = [
      each.images(of.image_rows[units].ravel()).astype(int)
      for each, of in ((ours, a), (theirs, b))
    ]
    assert set(np.unique(pixels[0] - pixels[1])) <= {0, 1}
    wanted = (original / layer / "ids.csv").read_text().split()
    written = (tmp_path / "layout" / layer / "ids.csv").read_text().split()
    assert [written[unit] for unit in units] == [wanted[unit] for unit in units]
    line = (tmp_path / "layout" / layer / "activations.csv").read_text().split()[0]
    assert len(line) == len("4.74584e+00," * K) - 1
