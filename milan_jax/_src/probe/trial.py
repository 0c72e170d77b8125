"""A trial run of a model: the same few pictures in two batches of different order.

The model runs on gray pictures with white squares, then on the same pictures in another
order, together with other pictures. A picture's activations must be the same, and the
squares must appear in place (`milan_jax._src.probe.white_square`).
"""

import dataclasses
import enum
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from milan_jax._src.images.sizes import sides
from milan_jax._src.probe.probe_checks import check_arrays
from milan_jax._src.probe.protocol import Probe
from milan_jax._src.probe.white_square import NUM_SQUARES, pictures
from milan_jax._src.records import LayerShape

# Number of trial pictures, and of all pictures with three fillers. In the second run
# the n-th picture is where the (3 n + 1)-th was in the first, so that no picture has
# the same position or the same neighbors.
_NUM_SHOWN, _NUM_ALL = NUM_SQUARES + 1, 10
_OTHER_ORDER = [(3 * index + 1) % _NUM_ALL for index in range(_NUM_ALL)]
# Tolerances as fractions of a layer's largest value: for a repeated batch; and for
# another batch, where other matrix sizes may round differently.
_REPEAT_TOLERANCE, _BATCH_TOLERANCE = 1e-4, 1e-3
# By layer, the array of a batch as the probe returned it, and a copy of it.
_Held = dict[str, tuple[np.ndarray, np.ndarray]]
# Maximum number of activations read at once if all layers are requested.
_MAX_VALUES = 2**26


class Cause(enum.Enum):
  """Why a picture's activations differ between runs, or while the next batch runs."""

  RANDOM = "random"
  OVERWRITTEN = "overwritten"
  BATCH = "depends on batch"


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
  """How a layer's activations of the same picture differ.

  Attributes:
    layer: the layer's name.
    cause: why they differ.
    max_difference: the largest difference.
    max_activation: the largest activation, both in the model's own units.
  """

  layer: str
  cause: Cause
  max_difference: float
  max_activation: float


@dataclasses.dataclass(frozen=True, slots=True)
class TrialOutput:
  """Results of the trial batch in some layers.

  Attributes:
    activations: activations of the gray picture and those with squares; for a
      generator, of some of its latents.
    fillers: activations of two of the filler pictures of the first run.
    differences: layers whose activations differ between the two runs.
  """

  activations: Mapping[str, Float[np.ndarray, "shown height width units"]]
  fillers: Mapping[str, Float[np.ndarray, "fillers height width units"]]
  differences: tuple[Difference, ...]


def run_trial(
  probe: Probe,
  layers: Sequence[str],
  *,
  batch_size: int,
  latents: np.ndarray | None = None,
  check_batch: bool = True,
) -> TrialOutput:
  """Runs a model on the trial batch.

  A compiled model gets batches of the run's size, so that it is compiled once; if that
  is 1, batches are larger, because a single image has no neighbors.

  Args:
    probe: the model.
    layers: names of the layers to read, all at once.
    batch_size: the run's batch size per device.
    latents: some inputs of a generator, at least one.
    check_batch: whether to run the pictures again in another batch.

  Raises:
    ProbeError: if the probe returns arrays of other shapes than `layers()` states.
  """
  devices = probe.num_devices
  size = batch_size * devices
  if batch_size == 1 or not getattr(probe, "compiled", False):
    size = math.ceil(_NUM_ALL / devices) * devices
  inputs, fillers, others = _inputs(probe, latents)
  first = np.concatenate([inputs, fillers])
  held: _Held = {}
  found = _run(probe, first, fillers[-1:], tuple(layers), size, held)
  shown = {name: array[: len(inputs)] for name, array in found.items()}
  some = slice(len(inputs), len(inputs) + 2)
  noise = {name: array[some] for name, array in found.items()}
  differences: list[Difference] = []
  if check_batch:
    second = np.concatenate([inputs, others])[np.argsort(_OTHER_ORDER)]
    again = _run(probe, second, others[-1:], tuple(layers), size)
    differences += _overwritten(held)
    differing = {
      name: _difference(shown[name], again[name][_OTHER_ORDER][: len(inputs)])
      for name in layers
    }
    differing = {
      name: pair for name, pair in differing.items() if pair[0] > _REPEAT_TOLERANCE
    }
    if differing:
      # All layers, as before: an ONNX session with other outputs restarts its random
      # numbers.
      repeated = _run(probe, first, fillers[-1:], tuple(layers), size)
      for name, (share, difference, largest) in differing.items():
        by_chance = _difference(shown[name], repeated[name][: len(inputs)])
        if by_chance[0] > _REPEAT_TOLERANCE:
          differences.append(Difference(name, Cause.RANDOM, *by_chance[1:]))
        elif share > _BATCH_TOLERANCE:
          differences.append(Difference(name, Cause.BATCH, difference, largest))
  return TrialOutput(shown, noise, tuple(differences))


def layer_groups(
  shapes: Sequence[LayerShape], layers: Sequence[str]
) -> Iterator[tuple[str, ...]]:
  """Groups of layers whose activations fit into memory together."""
  sizes = {one.name: _NUM_ALL * one.height * one.width * one.units for one in shapes}
  part: list[str] = []
  for name in layers:
    if part and sum(sizes[one] for one in (*part, name)) > _MAX_VALUES:
      yield tuple(part)
      part = []
    part.append(name)
  if part:
    yield tuple(part)


def _inputs(
  probe: Probe, latents: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """The trial inputs, and the fillers of the first and second run."""
  if latents is not None:
    some = latents[np.arange(_NUM_ALL) % len(latents)]
    return some[:_NUM_SHOWN], some[_NUM_SHOWN:], np.zeros_like(some[_NUM_SHOWN:])
  height, width = sides(probe.image_size)
  shown = pictures(height, width, getattr(probe, "channels", 3))
  # Extreme fillers are in the first run only.
  rng = np.random.default_rng(0)
  fine = 255 * rng.integers(0, 2, shown.shape[1:], np.uint8)
  coarse = np.repeat(np.repeat(fine, 4, axis=0), 4, axis=1)[:height, :width]
  fillers = np.stack([fine, coarse, np.full_like(fine, 255)])
  others = np.stack([np.full_like(fine, level) for level in (96, 160, 112)])
  return shown, fillers, others


def _run(
  probe: Probe,
  inputs: np.ndarray,
  padding: np.ndarray,
  layers: tuple[str, ...],
  size: int,
  held: _Held | None = None,
) -> dict[str, np.ndarray]:
  """The activations of inputs, in batches of `size`, with the last one padded.

  `held` gets what the probe returned for the last batch, and copies.
  """
  shapes = {shape.name: shape for shape in probe.layers()}
  missing = -len(inputs) % size
  whole = np.concatenate([inputs, np.repeat(padding, missing, axis=0)])
  parts = []
  for start in range(0, len(whole), size):
    found = check_arrays(
      probe.activations(whole[start : start + size], layers), shapes, layers, size
    )
    kept = slice(0, max(0, min(size, len(inputs) - start)))
    # A copy, so that the whole batch can be freed.
    parts.append({name: np.array(found[name][kept]) for name in layers})
    if held is not None:
      held |= {name: (found[name][kept], parts[-1][name]) for name in layers}
  return {name: np.concatenate([part[name] for part in parts]) for name in layers}


def _overwritten(held: _Held) -> Iterator[Difference]:
  """The layers whose arrays of an earlier batch have changed since."""
  for name, (array, copy) in held.items():
    difference = _difference(copy, array)
    if difference[0] > 0:
      yield Difference(name, Cause.OVERWRITTEN, *difference[1:])


def _difference(
  one: Float[np.ndarray, "..."], other: Float[np.ndarray, "..."]
) -> tuple[float, float, float]:
  """The ratio of the largest difference to the largest value, and both."""
  if one.shape != other.shape:
    return math.inf, math.inf, math.inf
  finite = np.isfinite(one)
  largest = float(np.abs(one[finite]).max(initial=0))
  both = finite & np.isfinite(other)
  difference = float(np.abs(one[both] - other[both]).max(initial=0))
  # NaN and infinite values must be the same in both.
  rest = ~both
  if not np.array_equal(one[rest], other[rest], equal_nan=True):
    difference = math.inf
  share = 0.0 if difference == 0 else difference / largest if largest else math.inf
  return share, difference, largest
