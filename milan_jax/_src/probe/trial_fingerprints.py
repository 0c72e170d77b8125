"""Summaries of a network's activations if it failed in the trial before a run."""

from collections.abc import Iterator

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.images.latents import Latents
from milan_jax._src.images.source import Source, UnreadableImageError, read_input
from milan_jax._src.probe.fingerprints import summary
from milan_jax._src.probe.protocol import Probe

# Number of inputs of a trial batch that are summarized.
_NUM_SUMMARIZED = 2


def trial_summaries(
  probe: Probe,
  source: Source,
  layers: tuple[str, ...],
  *,
  batch_size: int,
  model: str,
) -> dict[str, list[float]]:
  """The `summary` of each layer's activations for a fixed batch.

  The batch is noise or, if the network fails on it, copies of the run's first input.

  Args:
    probe: the network.
    source: its inputs.
    layers: names of the layers.
    batch_size: the run's batch size per device. A compiled network gets batches of this
      size, so that it is not compiled again.
    model: the user's name of the network, for messages.

  Raises:
    UserError: if the network fails.
  """
  num_summarized = min(_NUM_SUMMARIZED, batch_size)
  compiled = getattr(probe, "compiled", False)
  size = (batch_size if compiled else num_summarized) * probe.num_devices
  failure: Exception | None = None
  for batch in _batches(source, size):
    try:
      found = probe.activations(batch, layers)
      arrays = {name: np.asarray(found[name])[:num_summarized] for name in layers}
    except Exception as error:  # any error of the user's model
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
  """Yields noise, then a batch of copies of the first readable input."""
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
      yield np.broadcast_to(read_input(source, index), batch.shape).copy()
      return
    except UnreadableImageError:
      continue
