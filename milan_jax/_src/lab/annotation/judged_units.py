"""Draws the units to judge: of several networks, none of them annotated.

It writes contact sheets, their key, and the order of the networks' layers into a
folder.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np

from milan_jax._src.annotation.annotation_job import (
  KEY,
  SHEETS,
  open_all,
  write_key,
  write_sheets,
)
from milan_jax._src.annotation.drawn_regions import (
  FEWEST_REGIONS,
  DrawnUnit,
  take_in_turn,
  units_with_regions,
)
from milan_jax._src.annotation.sheet_key import arrange, csv_text, places_of
from milan_jax._src.errors import UserError, did_you_mean
from milan_jax._src.files import atomic
from milan_jax._src.files.tables import read_rows
from milan_jax._src.records import ExemplarSet
from milan_jax._src.runs.locks import hold
from milan_jax._src.runs.progress import say

LAYERS = "layers.csv"
UNITS_PER_SHEET = 3


@dataclasses.dataclass(frozen=True, slots=True)
class DrawOptions:
  """What is drawn, and into which folder.

  Attributes:
    exemplars: folders of exemplars, comma-separated.
    annotated: folder of NETWORK.csv files with the columns layer and unit; their units
      are left out, whatever their sign. None leaves none out.
    held_out: a network that is not annotated, with a number of units of its own; None
      treats all networks alike.
    num_held_out: the units of that network.
    num_units: the units of all networks.
    last_layers: at least so many units are of the networks' last layers.
    seed: of the draw and of the order on the sheets.
    workdir: the folder that is written to.
  """

  exemplars: str
  workdir: pathlib.Path
  annotated: pathlib.Path | None = None
  held_out: str | None = None
  num_held_out: int = 60
  num_units: int = 150
  last_layers: int = 20
  seed: int = 0


def draw(options: DrawOptions) -> None:
  """Draws sheets of units into the workdir, with `key.csv` and `layers.csv`.

  Raises:
    UserError: if an option is out of range, an exemplar set or a table cannot be read,
      the exemplar sets have too few units, or the workdir has other units.
  """
  runs = open_all(options.exemplars)
  numbers = _numbers(options, tuple(runs))
  lengths = {name: len(found.layers) for name, found in runs.items()}
  quotas = last_layer_quotas(numbers, lengths, options.last_layers)
  with hold(options.workdir) as folder:
    drawn = []
    for name, found in runs.items():
      annotated = _annotated(options.annotated, name)
      drawn += _drawn(name, found, numbers[name], quotas[name], annotated, options.seed)
    sheets = arrange(drawn, twice=0, per_sheet=UNITS_PER_SHEET, seed=options.seed)
    write_key(folder, places_of(sheets))
    rows = ((name, layer) for name, found in runs.items() for layer in found.layers)
    atomic.write_text(folder / LAYERS, csv_text(("run", "layer"), rows))
    write_sheets(folder / SHEETS, sheets, runs)
  last = sum(unit.layer == runs[unit.run].layers[-1] for unit in drawn)
  each = ", ".join(f"{name} {number}" for name, number in numbers.items())
  say(
    f"{folder / SHEETS}: {len(sheets)} sheets of {len(drawn)} units ({each}), {last} "
    f"of last layers. Keep {folder / KEY} from the judges."
  )


def _numbers(options: DrawOptions, names: tuple[str, ...]) -> dict[str, int]:
  """How many units of each network are drawn."""
  held, number = options.held_out, options.num_held_out
  for flag, value in (
    ("num_units", options.num_units),
    ("num_held_out", number if held else 1),
  ):
    if value < 1:
      raise UserError(f"--{flag}={value}: expected 1 or more.")
  if not 0 <= options.last_layers <= options.num_units:
    raise UserError(
      f"--last_layers={options.last_layers}: expected a number from 0 to "
      f"--num_units={options.num_units}."
    )
  if held is None:
    return dict(zip(names, _evenly(options.num_units, len(names)), strict=True))
  if held not in names:
    hint = did_you_mean(held, names)
    raise UserError(
      f"--held_out={held}: expected one of the networks {', '.join(names)}.{hint}"
    )
  others = [name for name in names if name != held]
  rest = options.num_units - number
  if rest < 0 or (rest and not others):
    raise UserError(
      f"--num_held_out={number}: expected at most --num_units={options.num_units}, and "
      "other networks for the rest."
    )
  shares = dict(zip(others, _evenly(rest, len(others)), strict=True))
  return {name: shares.get(name, number) for name in names}


def _evenly(number: int, parts: int) -> list[int]:
  return [number // parts + (place < number % parts) for place in range(parts)]


def last_layer_quotas(
  numbers: Mapping[str, int], lengths: Mapping[str, int], least: int
) -> dict[str, int]:
  """How many units of each network are of its last layer.

  Each network begins with an even share of its layers. If these are fewer than `least`
  together, the network with the smallest fraction gets one more, until they are enough.

  Args:
    numbers: units of each network.
    lengths: layers of each network.
    least: the sum, at least; at most the sum of `numbers`.
  """
  quotas = {name: number // lengths[name] for name, number in numbers.items()}
  while sum(quotas.values()) < least:
    free = [name for name, quota in quotas.items() if quota < numbers[name]]
    quotas[min(free, key=lambda name: quotas[name] / numbers[name])] += 1
  return quotas


def _annotated(folder: pathlib.Path | None, name: str) -> set[tuple[str, int]]:
  """Layer and index of a network's annotated units; none if it has no file."""
  if folder is None:
    return set()
  if not folder.is_dir():
    raise UserError(
      f"--annotated={folder}: expected a folder of NETWORK.csv files; it is not there."
    )
  path = folder / f"{name}.csv"
  if not path.is_file():
    return set()
  units = (row.unit for row in read_rows(path, ("layer", "unit")))
  return {(unit.layer, unit.index) for unit in units}


def _drawn(
  name: str,
  found: ExemplarSet,
  number: int,
  quota: int,
  annotated: set[tuple[str, int]],
  seed: int,
) -> list[DrawnUnit]:
  """Draws a quota from the last layer, and the rest from the others in turn."""

  def left(place: int, layer: str) -> Iterator[DrawnUnit]:
    # Not the order in which `milan-annotate` draws: what it leaves of that order has
    # too few units of one sign, where it took more of them than their share.
    rng = np.random.default_rng([seed, place, 1])
    for unit in units_with_regions(name, found, layer, rng):
      if (unit.layer, unit.unit) not in annotated:
        yield unit

  *others, last = itertools.starmap(left, enumerate(found.layers))
  drawn = take_in_turn([last], quota)
  if len(drawn) < quota:
    raise UserError(
      f"{name}: expected {quota} units of its last layer with {FEWEST_REGIONS} regions "
      f"or more that are not annotated; found {len(drawn)}: lower --last_layers."
    )
  drawn += take_in_turn(others or [last], number - quota)
  if len(drawn) < number:
    raise UserError(
      f"{name}: expected {number} units with {FEWEST_REGIONS} regions or more that are "
      f"not annotated; found {len(drawn)}: lower --num_units or --num_held_out."
    )
  return drawn
