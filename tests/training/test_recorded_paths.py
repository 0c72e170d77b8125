"""The trainer against the original's recorded steps, by each of its paths.

All of them order captions by length, read the real tokens only, and read ahead. Several
devices are in `test_devices`.
"""

import jax
import numpy as np
import pytest

from milan_jax._src.records import Unit
from milan_jax._src.store.feature_records import (
  FeatureKey,
  FeatureRecords,
  UnitTables,
  write_records,
)
from milan_jax._src.store.feature_store import open_features
from tests.helpers.feature_store import write_features
from tests.training import recorded_fit
from tests.training import reference_models as models


@pytest.fixture(scope="module")
def records(tmp_path_factory):
  """The recorded features in a data set, as `milan-features` writes them."""
  pytest.importorskip("tensorflow_datasets")
  pytest.importorskip("array_record")
  folder = tmp_path_factory.mktemp("features")
  table = recorded_fit.features_of_units()
  write_features(folder / "store", table)
  annotations = {Unit("a", unit): ["words"] for unit in range(len(table))}
  key = FeatureKey({"backbone": "resnet18"}, "0" * 64, 1)
  tables = UnitTables(annotations, None, {})
  write_records(folder / "records", open_features(folder / "store"), tables, key)
  return FeatureRecords(folder / "records")


def _norms(names, norms, arrange):
  named = dict(zip(names, norms, strict=True))
  return jax.tree.leaves(arrange({name: np.array(n) for name, n in named.items()}))


@pytest.mark.parametrize(
  ("options", "tolerance"),
  [
    ({}, 1e-5),
    # The captions twice: the mean gradient of an update is that of one step.
    ({"accumulate": 2}, 1e-5),
    # Operands of products have eight significant bits.
    ({"dtype": "bfloat16"}, 5e-3),
  ],
)
def test_the_captioner_takes_the_original_s_steps(records, options, tolerance):
  arrays, names = models.training_reference()
  found = recorded_fit.fit("captioner", gather=records.read_rows, **options)
  expected = np.repeat(
    arrays["losses_nll_reg_total"], options.get("accumulate", 1), axis=0
  )
  losses = recorded_fit.losses_of(found)
  np.testing.assert_allclose(losses, expected, rtol=tolerance)
  assert len(expected) == len(losses)
  # Without dropout, what follows an update is the loss of the next step.
  update = options.get("accumulate", 1)
  after = [epoch["nll"] for epoch in found.validation[update - 1 :: update]]
  np.testing.assert_allclose(after[:-1], expected[update::update, 0], rtol=tolerance)
  norms = _norms(names["grad_names"], arrays["grad_norms"], models.captioner_params)
  for gradient, norm in zip(jax.tree.leaves(found.gradients), norms, strict=True):
    # One gradient is rounding error in the original: the softmax ignores its bias.
    size = float(np.linalg.norm(gradient))
    assert size == pytest.approx(float(norm), rel=10 * tolerance, abs=1e-6)


def test_the_language_model_takes_the_original_s_step():
  arrays, names = models.training_reference()
  found = recorded_fit.fit("language_model", epochs=1)
  assert found.training[0]["nll"] == pytest.approx(float(arrays["lm_loss"]), rel=1e-6)
  norms = _norms(
    names["lm_grad_names"], arrays["lm_grad_norms"], models.language_model_params
  )
  sizes = [np.linalg.norm(gradient) for gradient in jax.tree.leaves(found.gradients)]
  np.testing.assert_allclose(sizes, norms, rtol=1e-5)
