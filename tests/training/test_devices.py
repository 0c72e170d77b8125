"""The training on eight simulated devices, beside one and beside the original."""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from tests.helpers.together import simulated
from tests.training import recorded_fit
from tests.training import reference_models as models

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
  """The results of `recorded_fit` on eight devices."""
  path = tmp_path_factory.mktemp("devices") / "8.npz"
  environment = os.environ | {"XLA_FLAGS": simulated(8), "JAX_PLATFORMS": "cpu"}
  command = [sys.executable, "-m", "tests.training.recorded_fit", os.fspath(path)]
  subprocess.run(command, check=True, env=environment, cwd=ROOT)
  with np.load(path) as file:
    count, recorded, *own = (file[name] for name in file.files)
  assert count == 8
  return recorded, own


def test_eight_devices_take_the_steps_of_one(eight):
  assert jax.device_count() == 1
  one = recorded_fit.steps_with_dropout()
  assert len(one) == (1 + 19) + (1 + 4)
  assert float(one[0]) > 1
  # The softmax ignores the bias of the regions' energies: one gradient is zero.
  assert sum(not a.any() for a in one) == 1
  for a, b in zip(one, eight[1], strict=True):
    np.testing.assert_allclose(a, b, atol=1e-6, rtol=1e-6)


def test_eight_devices_have_the_losses_of_the_original(eight):
  arrays, _ = models.training_reference()
  np.testing.assert_allclose(eight[0], arrays["losses_nll_reg_total"], rtol=1e-5)
