"""Numbers that identify a network by what it computes."""

import numpy as np
import pytest

from milan_jax._src.probe.fingerprints import summary
from milan_jax._src.runs.inputs import Identity, Tables

RNG = np.random.default_rng(0)
LAYER = np.maximum(RNG.normal(size=(2, 7, 7, 512)), 0).astype(np.float32)


def same(now, before, tolerance, folder):
  """Whether a run that began with other activations is resumed."""
  recorded = Identity({}, {"a": summary(before)}, "m:f", tolerance).record()
  found = Identity({}, {"a": summary(now)}, "m:f", tolerance)
  return not found.change(recorded, Tables(folder))


def rounded(array, bits):
  """Rounds as if each value came from products of low-precision operands."""
  return array * (1 + 2.0**-bits * RNG.uniform(-1, 1, array.shape))


def test_the_first_number_is_the_scale():
  assert summary(LAYER)[0] == pytest.approx(np.sqrt(np.mean(LAYER**2)), rel=1e-6)
  assert summary(3 * LAYER) == pytest.approx([3 * x for x in summary(LAYER)], rel=1e-5)
  assert summary(np.zeros((1, 2, 2, 3))) == [0] * 13


@pytest.mark.parametrize(("tolerance", "bits"), [(2e-3, 10), (1e-2, 7)])
def test_another_machine_rounds_otherwise(tolerance, bits, tmp_path):
  assert same(rounded(LAYER, bits), LAYER, tolerance, tmp_path)
  # The largest difference of single numbers is above the tolerance.
  far = np.abs(rounded(LAYER, bits) - LAYER).max() / summary(LAYER)[0]
  assert far > tolerance


@pytest.mark.parametrize(
  "change",
  [
    lambda a: a[:, ::-1],
    lambda a: a[..., ::-1],
    lambda a: a + np.float32(0.01),
    lambda a: 1.01 * a,
    lambda a: np.concatenate([a[..., :40], 1.2 * a[..., 40:41], a[..., 41:]], axis=-1),
    lambda a: np.where(a > 4, 4, a) + 0.01 * (a > 1),
    lambda a: a[:1],
  ],
)
def test_another_network_does_not(change, tmp_path):
  assert not same(change(LAYER), LAYER, 2e-3, tmp_path)


def test_numbers_that_are_none_count_as_zeros(tmp_path):
  altered = LAYER.copy()
  altered[0, 0, 0, :3] = np.nan, np.inf, -np.inf
  cleared = LAYER.copy()
  cleared[0, 0, 0, :3] = 0
  assert summary(altered) == summary(cleared)
  assert np.isfinite(summary(np.full((1, 1, 1, 2), 1e300))).all()
