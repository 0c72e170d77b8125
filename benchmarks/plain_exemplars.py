"""The plain way to exemplars, in torch: what a ratio to it is a ratio to.

One layer after another. A first pass over all images ranks them for each unit and draws
a sample of its activations, whose quantile is the threshold; a second pass over all
images upsamples the maps of those that are exemplars, and makes the masks. Every image
goes through the whole network in both. It is written with the loader and the image
preparation of milan-jax, so that only the passes differ.
"""

import numpy as np
import torch

from milan_jax._src.images.loader import batches
from milan_jax._src.images.source import ImageSource

SAMPLES = 8192  # activations of a unit of which the quantile is taken


def plain_exemplars(
  module: torch.nn.Module,
  source: ImageSource,
  layers: tuple[str, ...],
  *,
  mean: tuple[float, float, float],
  std: tuple[float, float, float],
  k: int,
  quantile: float,
  batch_size: int,
) -> int:
  """Finds all units' exemplars, thresholds and masks; returns the forward passes."""
  passes = 0
  for layer in layers:
    maxima, samples = [], []
    share = SAMPLES * batch_size / len(source)
    generator = np.random.default_rng(0)
    for _, maps in _activations(module, source, layer, mean, std, batch_size):
      maxima.append(maps.amax(dim=(2, 3)))
      values = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
      rows = generator.choice(len(values), min(len(values), int(share) + 1))
      samples.append(values[torch.from_numpy(rows)])
    ranked = torch.cat(maxima).topk(k, dim=0).indices.T  # units, k
    thresholds = (
      torch.cat(samples).kthvalue(int(quantile * sum(map(len, samples))), dim=0).values
    )
    wanted: dict[int, list[int]] = {}
    for unit, image in zip(*np.indices(ranked.shape), strict=True):
      for u, i in zip(unit, image, strict=True):
        wanted.setdefault(int(ranked[u, i]), []).append(int(u))
    masks = torch.zeros((*ranked.shape, source.size, source.size), dtype=torch.bool)
    places = {
      (int(unit), int(image)): slot
      for unit, row in enumerate(ranked)
      for slot, image in enumerate(row)
    }
    for start, maps in _activations(module, source, layer, mean, std, batch_size):
      for row, image in enumerate(range(start, start + len(maps))):
        units = wanted.get(image, [])
        if units:
          large = torch.nn.functional.interpolate(
            maps[row : row + 1, units], source.size, mode="bilinear"
          )[0]
          above = large > thresholds[units][:, None, None]
          for unit, mask in zip(units, above, strict=True):
            masks[unit, places[unit, image]] = mask
    passes += 2
  return passes


def _activations(module, source, layer, mean, std, batch_size):
  """Position and maps of each batch, through the whole network."""
  kept = {}
  handle = module.get_submodule(layer).register_forward_hook(
    lambda part, inputs, output: kept.update(maps=output.detach().clone())
  )
  mean, std = (torch.tensor(each)[:, None, None] for each in (mean, std))
  with torch.no_grad():
    for batch in batches(source, batch_size):
      pixels = torch.from_numpy(batch.inputs.transpose(0, 3, 1, 2).copy()).float()
      module((pixels - mean) / std)
      yield batch.start, kept["maps"][: batch.stop - batch.start]
  handle.remove()
