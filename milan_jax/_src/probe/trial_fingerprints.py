"""Answers of a network that could not bear the trial before a run."""

from collections.abc import Iterator

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.images.latents import Latents
from milan_jax._src.images.source import Source, UnreadableImageError
from milan_jax._src.probe.fingerprints import summary
from milan_jax._src.probe.protocol import Probe

# Inputs of a trial batch that are looked at.
_LOOKED_AT = 2


def trial_answers(
  probe: Probe,
  source: Source,
  layers: tuple[str, ...],
  *,
  batch_size: int,
  model: str,
) -> dict[str, list[float]]:
  """The `summary` of each layer's activations for a batch that is always the same.

  That is noise, or, for a network that cannot bear it, the first inputs of the run.

  Args:
    probe: the network.
    source: its inputs.
    layers: names of the layers.
    batch_size: inputs of the run that go through one device together. What is compiled
      gets as many, and nothing else is compiled for it.
    model: what the user wrote to name the network.

  Raises:
    UserError: if the network fails.
  """
  looked_at = min(_LOOKED_AT, batch_size)
  compiled = getattr(probe, "compiled", False)
  size = (batch_size if compiled else looked_at) * probe.num_devices
  failure: Exception | None = None
  for batch in _batches(source, size):
    try:
      found = probe.activations(batch, layers)
      arrays = {name: np.asarray(found[name])[:looked_at] for name in layers}
    except Exception as error:  # whatever the user's model raises
      failure = failure or error
    else:
      return {name: summary(array) for name, array in arrays.items()}
  if isinstance(failure, UserError):
    raise failure
  lines = str(failure).strip().splitlines() or [""]
  words = lines[0] if len(lines) == 1 else f"{lines[0]} ... {lines[-1]}"
  raise UserError(
    f"--model={model} fails on a trial batch of {size} inputs "
    f"({type(failure).__name__}: {words}): fix it, or try another --probe_batch_size."
  ) from failure


def _batches(source: Source, size: int) -> Iterator[np.ndarray]:
  """Noise, then inputs of the run."""
  blank = source.blank
  rng = np.random.default_rng(0)
  batch = np.broadcast_to(blank, (size, *blank.shape)).copy()
  if isinstance(source, Latents):
    batch["latent"] = rng.standard_normal(batch["latent"].shape)
  else:
    coarse = rng.integers(0, 256, (size, 8, 8, *blank.shape[2:]), np.uint8)
    rows, columns = (np.arange(side) * 8 // side for side in blank.shape[:2])
    batch[:] = coarse[:, rows][:, :, columns]
  yield batch
  for index in range(len(source)):
    try:
      yield np.broadcast_to(source.load(index), batch.shape).copy()
      return
    except UnreadableImageError:
      continue
