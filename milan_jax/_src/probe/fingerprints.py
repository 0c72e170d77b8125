"""Numbers that identify a network by what it computes, not by parameters or files."""

import numpy as np
from jaxtyping import Float

_PROJECTIONS = 4
# Its square is finite in float64.
_HUGE = 1e100


def summary(activations: Float[np.ndarray, "batch height width units"]) -> list[float]:
  """Summarizes a layer's activations in numbers that almost any change affects.

  Args:
    activations: activations of a trial batch.

  Returns:
    The root mean square, which is the layer's scale; then random projections of the
    units' means, root mean squares and sums with random signs, each of about that
    scale.
  """
  wide = np.asarray(activations, np.float64)
  finite = np.clip(np.nan_to_num(wide, posinf=0.0, neginf=0.0), -_HUGE, _HUGE)
  flat = finite.reshape(-1, finite.shape[-1])
  rng = np.random.default_rng(0)
  signs = rng.choice([-1.0, 1.0], len(flat)) / np.sqrt(len(flat))
  units = rng.choice([-1.0, 1.0], (_PROJECTIONS, flat.shape[1]))
  squares = np.mean(flat**2, axis=0)
  about = np.stack([flat.mean(0), np.sqrt(squares), signs @ flat])
  projected = about @ units.T / np.sqrt(flat.shape[1])
  numbers = [np.sqrt(squares.mean()), *projected.ravel()]
  return [float(f"{number:.6e}") for number in numbers]
