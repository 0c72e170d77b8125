"""The settings of a sweep: encoders, and points of the search for descriptions."""

import dataclasses
import math
from typing import Any

from milan_jax._src.errors import UserError
from milan_jax._src.options.describe import DecodingOptions
from milan_jax._src.options.experiments import GridOptions, SearchOptions
from milan_jax._src.options.train import NetworkOptions

# Of each strategy: the search's own name, and whether tokens are scored by mutual
# information.
_STRATEGIES = {
  "greedy": ("greedy", False),
  "greedy-mi": ("greedy", True),
  "beam": ("beam", False),
  "beam-mi": ("beam", True),
  "rerank": ("rerank", False),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
  """One setting of the search.

  Attributes:
    strategy: its name in a sweep.
    beam_size: hypotheses per unit; None for a strategy without a beam.
    temperature: weight of the language model; None for a strategy without it.
  """

  strategy: str
  beam_size: int | None
  temperature: float | None

  @property
  def name(self) -> str:
    """Its name among the others, also of its folder."""
    beam = "" if self.beam_size is None else f" beam {self.beam_size}"
    weight = "" if self.temperature is None else f" temperature {self.temperature:.12g}"
    return f"{self.strategy}{beam}{weight}"

  def options(self, search: SearchOptions) -> DecodingOptions:
    """Returns the options of its search."""
    strategy, mi = _STRATEGIES[self.strategy]
    given: dict[str, Any] = {} if strategy == "rerank" else {"mi": mi}
    if self.beam_size is not None:
      given["beam_size"] = self.beam_size
    if self.temperature is not None:
      given["temperature"] = self.temperature
    return DecodingOptions(
      strategy=strategy,
      length=search.length,
      batch_size=search.decoding_batch_size,
      **given,
    )


def grid_points(grid: GridOptions, search: SearchOptions) -> list[Point]:
  """Returns the points, sorted by strategy, beam and temperature.

  Raises:
    UserError: if a strategy is unknown, a value is not a number in its range, or no
      strategy uses the beams or the temperatures.
  """
  beams = _numbers("beam_sizes", grid.beam_sizes, int, 1) or [search.beam_size]
  weights = _numbers("temperatures", grid.temperatures, float, 0) or [
    search.temperature
  ]
  found: list[Point] = []
  for word in grid.strategies.split(","):
    name = word.strip()
    if name not in _STRATEGIES:
      raise UserError(
        f"--strategies: expected some of {', '.join(_STRATEGIES)}; found {name!r}."
      )
    strategy, mi = _STRATEGIES[name]
    has_beam, has_weight = strategy != "greedy", mi or strategy == "rerank"
    default = search.temperature if has_weight else None
    own = {Point(name, beam, default) for beam in (beams if has_beam else [None])}
    beam_size = search.beam_size if has_beam else None
    own |= {Point(name, beam_size, weight) for weight in weights if has_weight}
    found += sorted(own, key=lambda each: (each.beam_size or 0, each.temperature or 0))
  for flag, values, used in (
    ("beam_sizes", grid.beam_sizes, any(each.beam_size for each in found)),
    (
      "temperatures",
      grid.temperatures,
      any(each.temperature is not None for each in found),
    ),
  ):
    if values is not None and not used:
      raise UserError(
        f"--{flag}={values}: no strategy of --strategies={grid.strategies} uses it; "
        "leave it out, or add rerank."
      )
  return list(dict.fromkeys(found))


def grid_encoders(
  grid: GridOptions, model: NetworkOptions
) -> dict[str, NetworkOptions]:
  """Returns the options of each encoder, by its name.

  Raises:
    UserError: if encoders are given twice or in two ways, or a name is empty.
  """
  if grid.encoders is None:
    return {model.encoder: model}
  if model.encoder_weights or model.encoder_layers or model.projection:
    raise UserError(
      "--encoders: encoder_weights, encoder_layers and projection are of one encoder; "
      "give weights as NAME=WEIGHTS, and leave the others out."
    )
  found: dict[str, NetworkOptions] = {}
  for word in grid.encoders.split(","):
    name, _, weights = word.strip().partition("=")
    if not name:
      raise UserError(
        f"--encoders={grid.encoders}: expected names, comma-separated; found an empty "
        "one."
      )
    if name in found:
      raise UserError(f"--encoders: {name} is named twice.")
    found[name] = dataclasses.replace(
      model, encoder=name, encoder_weights=weights or None
    )
  return found


def _numbers(flag: str, text: str | None, kind: type, least: int) -> list[Any]:
  """Parses a list of numbers; empty for None."""
  if text is None:
    return []
  try:
    found = [kind(word) for word in text.split(",")]
  except ValueError:
    found = []
  if not found or not all(least <= each < math.inf for each in found):
    raise UserError(
      f"--{flag}={text}: expected numbers of at least {least}, comma-separated."
    )
  return found
