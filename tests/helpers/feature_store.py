"""A feature store of given features, as a run writes one."""

import numpy as np

from milan_jax._src.records import LayerExemplars
from milan_jax._src.store.feature_store import FeatureWriter


def write_features(folder, features):
  """Writes features of one layer, `units k features`, each of an image of its own."""
  units, k, feature_size = features.shape
  rows = np.zeros((units, k), int)
  dead = np.zeros(units, bool)
  layer = LayerExemplars("a", np.arange(units), rows, rows, None, None, dead)
  with FeatureWriter(folder, [layer], feature_size=feature_size, total=1) as writer:
    for unit, slot in np.ndindex(units, k):
      writer.write(0, unit, slot, features[unit, slot])
    writer.save(1)
