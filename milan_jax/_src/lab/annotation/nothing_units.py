"""Makes units that have nothing in common, for the fit of a confidence.

`python -m milan_jax._src.lab.annotation.nothing_units runs/networks/*/exemplars
--images SEEN --out runs/nothing-units` writes exemplars: half of the units have regions
of different units and layers of a network, and half smooth masks at random places. The
images are such as training may see, and the draws are none of `shuffled_units`, on
which captioners are trained.
"""

import argparse
import pathlib
from collections.abc import Sequence

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.lab.annotation.scripts import exit_code
from milan_jax._src.lab.annotation.shuffled_units import add_shuffled, open_networks
from milan_jax._src.lab.evaluation.negatives import SIZE, K, add_random, squares
from milan_jax._src.store.region_sets import RegionSetWriter

LAYER = "nothing"
# Distinguishes the draws from those of other modules with the same seed.
_STREAM = 12


def write_nothing(
  folders: Sequence[str],
  images: pathlib.Path,
  out: str,
  *,
  num_units: int = 120,
  seed: int = 0,
) -> None:
  """Writes units of shuffled regions, then units of random masks, of each one half.

  Args:
    folders: exemplars of networks; no two with the same name.
    images: folder of photographs.
    out: the folder to create.
    num_units: number of units.
    seed: seed of every draw.

  Raises:
    UserError: if `num_units` is odd, `out` exists, there are no photographs, or
      exemplars are missing, of another size or too few.
  """
  if num_units < 2 or num_units % 2:
    raise UserError(f"--num_units={num_units}: expected an even number, 2 or more.")
  joined, names = open_networks(folders)
  side = joined.images(np.zeros(1, np.int64)).shape[1]
  if side != SIZE:
    raise UserError(
      f"{', '.join(folders)}: expected exemplars with images of {SIZE} pixels a side; "
      f"found {side}."
    )
  source = squares(images)
  info = {"seed": seed, "shuffled": names}
  with RegionSetWriter(out, LAYER, K, SIZE, info=info) as writer:
    for unit in range(num_units):
      rng = np.random.default_rng([seed, _STREAM, unit])
      if unit < num_units // 2:
        add_shuffled(writer, unit, joined, names[unit % len(names)], K, rng)
      else:
        add_random(writer, unit, source, rng)


def main(arguments: Sequence[str] | None = None) -> int:
  """Writes the units.

  Args:
    arguments: of the command line; None takes the program's own.

  Returns:
    The exit code: 0, or 2 after one message.
  """
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("folders", nargs="+")
  parser.add_argument("--images", type=pathlib.Path, required=True)
  parser.add_argument("--out", default="runs/nothing-units")
  parser.add_argument("--num_units", type=int, default=120)
  parser.add_argument("--seed", type=int, default=0)
  given = vars(parser.parse_args(arguments))
  return exit_code("nothing_units", lambda: write_nothing(**given))


if __name__ == "__main__":
  raise SystemExit(main())
