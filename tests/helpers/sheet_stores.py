"""Small stores of exemplars to draw contact sheets from."""

import numpy as np

from milan_jax._src.exemplars.stats import LayerStatistics
from milan_jax._src.images.arrays import ArrayImages
from milan_jax._src.store.exemplar_store import write_exemplars

K, SIZE, UNITS = 6, 16, 9


def statistics(seed, *, off=()):
  """Unit 0 is dead, and unit 1 has masks on two of its exemplars only."""
  rng = np.random.default_rng(seed)
  maps = rng.uniform(0.1, 0.9, (UNITS, K, 4, 4)).astype(np.float32)
  maps[..., 1, 1] = 2
  maps[1, 2:] = 0.5
  return LayerStatistics(
    image_ids=np.stack([rng.permutation(12)[:K] for _ in range(UNITS)]),
    activations=np.sort(maps.max((2, 3)))[:, ::-1],
    maps=maps,
    thresholds=np.ones(UNITS, np.float32),
    dead=np.arange(UNITS) == 0,
    num_bad_maps=np.zeros(UNITS, int),
    num_ties=np.zeros(UNITS, int),
    off=np.isin(np.arange(UNITS), off),
  )


def write_store(folder, layers):
  """Writes layers of such statistics, with random images."""
  images = np.random.default_rng(5).integers(0, 256, (12, SIZE, SIZE, 3), np.uint8)
  write_exemplars(folder, layers, ArrayImages(images))
