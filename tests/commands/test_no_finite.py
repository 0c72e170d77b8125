"""Layers that are NaN or infinite on every image."""

import numpy as np
import pytest

from milan_jax._src.api.collection import _with_images
from milan_jax._src.errors import UserError
from milan_jax._src.exemplars import stats
from milan_jax._src.records import LayerShape


def finished(value, ids=(2, 3, 4)):
  state = stats.start(LayerShape("a", 2, 2, 2), num_images=8, k=2, quantile=0.9)
  activations = np.random.default_rng(0).random((len(ids), 2, 2, 2), np.float32)
  return stats.finish(stats.update(state, np.array(ids), activations + value))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_layer_with_finite_activations_is_refused_by_name(value):
  with pytest.raises(UserError, match="a, b: every unit is NaN or infinite"):
    bad = np.float32(value)
    _with_images({"a": finished(bad), "b": finished(bad)})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_beside_other_layers_it_is_dead_and_shows_an_image_that_was_read(value):
  good = finished(np.float32(0))
  found = _with_images({"bad": finished(np.float32(value)), "good": good})
  assert found["bad"].dead.all()
  np.testing.assert_array_equal(found["bad"].image_ids, 2)
  np.testing.assert_array_equal(found["good"].image_ids, good.image_ids)
