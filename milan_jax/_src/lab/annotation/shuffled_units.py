"""Makes units whose regions are of different units, so that they share nothing.

`python -m milan_jax._src.lab.annotation.shuffled_units runs/networks/*/exemplars --out
runs/shuffled` draws them from exemplars of networks that training may see, and writes
exemplars with `annotations.csv` and `split.csv`, for `milan-train --exemplars`. From
them a captioner learns, on regions of real units, to find nothing in common. A unit has
regions of all layers of a network: those of one layer often have something in common,
thin edges or parts of animals.
"""

import argparse
import itertools
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, UInt8

from milan_jax._src.annotation.sheet_key import csv_text
from milan_jax._src.api.stores import open_exemplars, set_name
from milan_jax._src.errors import UserError
from milan_jax._src.files.atomic import write_text
from milan_jax._src.lab.annotation.scripts import exit_code
from milan_jax._src.lab.annotation.training_sets import VALIDATION
from milan_jax._src.records import ExemplarSet
from milan_jax._src.store.annotations import FILE
from milan_jax._src.store.joined_exemplars import JoinedExemplars
from milan_jax._src.store.region_sets import RegionSetWriter
from milan_jax._src.store.splits import COLUMNS
from milan_jax._src.store.splits import FILE as SPLIT
from milan_jax._src.text.wording import NOTHING_PHRASES

LAYER = "shuffled"
# Number of regions and of captions per unit.
K, NUM_CAPTIONS = 15, 2

# The row of an image in the joined sets, the image, and the region.
Region = tuple[int, UInt8[np.ndarray, "side side 3"], Bool[np.ndarray, "side side"]]


def regions(
  found: ExemplarSet, layers: Sequence[str], rng: np.random.Generator
) -> Iterator[Region]:
  """Yields regions of different units, on different images, in random order.

  Args:
    found: the exemplars.
    layers: the layers to draw from.
    rng: random generator.
  """
  known = {layer: found.exemplars(layer) for layer in layers}
  units = [
    (layer, row)
    for layer, one in known.items()
    for row in np.flatnonzero(~one.dead).tolist()
  ]
  seen: set[int] = set()
  for place in rng.permutation(len(units)).tolist():
    layer, row = units[place]
    slot = int(rng.integers(known[layer].num_regions[row]))
    image = int(known[layer].image_rows[row, slot])
    if image in seen:
      continue
    (mask,) = found.masks(layer, np.array([row]), np.array([slot]))
    if mask.any():
      seen.add(image)
      yield image, found.images(np.array([image]))[0], mask


def open_networks(folders: Sequence[str]) -> tuple[JoinedExemplars, list[str]]:
  """Opens exemplars of several networks, and lists the networks' names.

  Raises:
    UserError: if a folder has no exemplars, or two of them have the same name.
  """
  joined = JoinedExemplars({set_name(each): open_exemplars(each) for each in folders})
  return joined, sorted({layer.partition(":")[0] for layer in joined.layers})


def add_shuffled(
  writer: RegionSetWriter,
  unit: int,
  joined: JoinedExemplars,
  name: str,
  k: int,
  rng: np.random.Generator,
) -> None:
  """Adds a unit whose regions are of different units and layers of a network.

  Args:
    writer: the set that is written.
    unit: number of the unit in it.
    joined: exemplars of networks.
    name: the network.
    k: number of regions.
    rng: random generator.

  Raises:
    UserError: if the network has too few regions.
  """
  layers = [each for each in joined.layers if each.partition(":")[0] == name]
  drawn = list(itertools.islice(regions(joined, layers, rng), k))
  if len(drawn) < k:
    raise UserError(
      f"{', '.join(layers)}: expected {k} regions on different images; found "
      f"{len(drawn)}: collect exemplars on more images."
    )
  rows = [writer.image(row, image) for row, image, _ in drawn]
  writer.add(unit, rows, np.stack([mask for *_, mask in drawn]))


def write_shuffled(
  folders: Sequence[str], out: str, *, num_units: int = 600, k: int = K, seed: int = 0
) -> None:
  """Writes units of regions that belong to different units and layers of a network.

  Args:
    folders: exemplars of networks; no two with the same name.
    out: the folder to create.
    num_units: number of units, from the networks in turn.
    k: number of regions per unit.
    seed: seed of every draw.

  Raises:
    UserError: if `out` exists, or a network has too few regions.
  """
  joined, names = open_networks(folders)
  side = joined.images(np.zeros(1, np.int64)).shape[1]
  captions, parts = [], []
  with RegionSetWriter(out, LAYER, k, side, info={"shuffled": names}) as writer:
    for unit in range(num_units):
      rng = np.random.default_rng([seed, unit])
      add_shuffled(writer, unit, joined, names[unit % len(names)], k, rng)
      for phrase in rng.permutation(NOTHING_PHRASES)[:NUM_CAPTIONS].tolist():
        captions.append((LAYER, unit, phrase))
      part = "train" if unit % VALIDATION else "validation"
      parts.append((LAYER, unit, part))
  folder = pathlib.Path(out)
  write_text(folder / FILE, csv_text(("layer", "unit", "summary"), captions))
  write_text(folder / SPLIT, csv_text(COLUMNS, parts))


if __name__ == "__main__":
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("folders", nargs="+")
  parser.add_argument("--out", default="runs/shuffled")
  parser.add_argument("--num_units", type=int, default=600)
  parser.add_argument("--seed", type=int, default=0)
  given = vars(parser.parse_args())
  raise SystemExit(exit_code("shuffled_units", lambda: write_shuffled(**given)))
