"""Draws the regions and captions of measured units."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from milan_jax._src.lab.corpus import filters, phrasings
from milan_jax._src.lab.corpus.concepts import Concept
from milan_jax._src.lab.corpus.measures import GRIDS
from milan_jax._src.text.wording import NOTHING_PHRASES

SPLITS = ("train", "validation", "test")
# Fractions of the sources. The test fraction is large because class units are tested on
# photographs that resemble them.
SPLIT_SHARES = (0.58, 0.12, 0.3)
# Fractions of the units.
UNIT_SHARES = (0.82, 0.07, 0.11)
NUM_CAPTIONS = 3
# Fractions of units that show nothing, one concept and two concepts.
NUMBER_SHARES = (0.1, 0.77, 0.13)
# Among units that show nothing: fraction whose regions each show a different concept.
# The others show random places.
SHUFFLED_SHARE = 0.6
# Relative frequency of a family's concepts; 1 if not listed.
FAMILY_WEIGHTS = {"combinations": 0.5, "edges": 2.5, "lines": 1.4}
# A unit's k regions are drawn from at most this many times k best views.
LOOSEST = 2.0
# Mean fraction of the image that a unit's masks cover. It is drawn log-uniformly for
# every unit, so that the size of a mask is independent of the concept.
SMALLEST_AREA, LARGEST_AREA = 0.001, 0.2
# A unit's map is smoothed (in cells) and attenuated at random places by at most a
# fraction, because real units are not exact measures either.
SMOOTHINGS = (0.0, 0.5, 0.75, 1.0)
MOST_DIMMING = 0.5
# Minimum threshold, as a fraction of the median peak of the regions.
MIN_THRESHOLD = 0.5
# Maximum threshold, as a fraction of the region's own peak, so that no mask is empty.
MAX_THRESHOLD = 0.8
# The smallest patch that a person would notice has 8 of 224 pixels.
SIGHT_GRID = 28
# Grids on which views are ranked. The finest grid uses the ranks of the next one, which
# are nearly the same at a quarter of the cost.
PEAK_GRIDS = GRIDS[1:]
NOTHING = "nothing"


@dataclasses.dataclass(frozen=True, slots=True)
class Looks:
  """Properties of a unit's maps that do not depend on its concept.

  Attributes:
    grid: cells along a side of its activation map.
    area: target for the mean fraction of the image that its masks cover.
    smoothing: standard deviation of the Gaussian over its map, in cells.
    seed: seeds the attenuation of its maps.
  """

  grid: int
  area: float
  smoothing: float
  seed: int


@dataclasses.dataclass(frozen=True, slots=True)
class UnitPlan:
  """A unit before its masks are made.

  Attributes:
    split: one of `SPLITS`.
    family: the family of its concept, "mixtures" or "nothing".
    name: the concept, "X + Y", or "nothing".
    views: the index of each region's view, best first.
    concepts: for each region, the index of its concept in the table; -1 for none.
    looks: grid, area, smoothing and seed of its maps.
    captions: three descriptions.
  """

  split: str
  family: str
  name: str
  views: tuple[int, ...]
  concepts: tuple[int, ...]
  looks: Looks
  captions: tuple[str, ...]


def split_groups(groups: Sequence[str], seed: int) -> dict[str, str]:
  """Assigns each group of photographs to a split, in the ratio of `SPLIT_SHARES`."""
  names = sorted(set(groups))
  order = np.random.default_rng([seed, 1]).permutation(len(names))
  ends = np.round(np.cumsum(SPLIT_SHARES) * len(names)).astype(int)
  splits = np.searchsorted(ends, np.arange(len(names)), side="right")
  return {
    names[place]: SPLITS[split] for place, split in zip(order, splits, strict=True)
  }


class Planner:
  """Draws units, given the peak response of each view to each concept.

  Args:
    concepts: the table.
    peaks: the strongest response in each view, per grid of `PEAK_GRIDS`.
    photographs: the photograph that each view shows.
    splits: the split of each view.
    k: number of regions per unit.
  """

  def __init__(
    self,
    concepts: Sequence[Concept],
    peaks: Float[np.ndarray, "grids concepts views"],
    photographs: Int[np.ndarray, "views"],
    splits: Sequence[str],
    k: int,
  ):
    self._concepts = concepts
    self._peaks = peaks
    self._photographs = photographs
    self._splits = np.array(splits)
    self._k = k
    weights = np.array([FAMILY_WEIGHTS.get(c.family, 1.0) for c in concepts])
    self._weights = weights / weights.sum()

  def unit(self, split: str, rng: np.random.Generator) -> UnitPlan:
    """Draws a random unit of a split that has at least `k` photographs."""
    while True:  # ends, because a unit of nothing can always be drawn
      number = int(rng.choice(3, p=NUMBER_SHARES))
      plan = self._shown(split, number, rng) if number else self._nothing(split, rng)
      if plan is not None:
        return plan

  def _shown(
    self, split: str, number: int, rng: np.random.Generator
  ) -> UnitPlan | None:
    chosen = rng.choice(len(self._concepts), number, replace=False, p=self._weights)
    concepts = [self._concepts[index] for index in chosen]
    grids = [g for g in GRIDS if all(g in concept.grids for concept in concepts)]
    if not grids:
      return None
    grid = int(rng.choice(grids))
    shares = [self._k] if number == 1 else [self._k // 2, self._k - self._k // 2]
    regions: list[tuple[float, int, int]] = []
    used: set[int] = set()
    for index, share in zip(chosen, shares, strict=True):
      found = self._best(int(index), grid, share, split, used, rng)
      if found is None:
        return None
      used |= {int(self._photographs[view]) for _, view in found}
      best = found[0][0]
      regions += [(peak / best, view, int(index)) for peak, view in found]
    regions.sort(key=lambda region: -region[0])
    return UnitPlan(
      split=split,
      family=concepts[0].family if number == 1 else "mixtures",
      name=" + ".join(concept.name for concept in concepts),
      views=tuple(view for _, view, _ in regions),
      concepts=tuple(index for _, _, index in regions),
      captions=_captions(concepts, rng),
      looks=draw_looks(grid, rng),
    )

  def _best(
    self,
    concept: int,
    grid: int,
    number: int,
    split: str,
    used: set[int],
    rng: np.random.Generator,
    *,
    among: int = 0,
  ) -> list[tuple[float, int]] | None:
    """Draws some of the best views, one per photograph, with their peaks; best first.

    They are drawn from the `among` best, by default from up to `LOOSEST * number`.
    """
    peaks = self._peaks[PEAK_GRIDS.index(min(grid, PEAK_GRIDS[0])), concept]
    # Keep a random view of each photograph, not its best view.
    order = rng.permutation(np.flatnonzero(self._splits == split))
    _, first = np.unique(self._photographs[order], return_index=True)
    views = order[np.sort(first)]
    views = views[[int(self._photographs[view]) not in used for view in views]]
    views = views[peaks[views] > self._concepts[concept].floor]
    if len(views) < number:
      return None
    pool = among or round(number * rng.uniform(1, LOOSEST))
    best = views[np.argsort(-peaks[views], kind="stable")[:pool]]
    kept = np.sort(rng.choice(len(best), number, replace=False))
    return [(float(peaks[view]), int(view)) for view in best[kept]]

  def _nothing(self, split: str, rng: np.random.Generator) -> UnitPlan | None:
    grid = int(rng.choice(GRIDS))
    shuffled = rng.random() < SHUFFLED_SHARE
    regions = (self._shuffled if shuffled else self._random_places)(split, grid, rng)
    if regions is None:
      return None
    return UnitPlan(
      split=split,
      family=NOTHING,
      name=NOTHING,
      views=tuple(view for view, _ in regions),
      concepts=tuple(concept for _, concept in regions),
      captions=_drawn(NOTHING_PHRASES, rng),
      looks=draw_looks(grid, rng),
    )

  def _random_places(
    self, split: str, grid: int, rng: np.random.Generator
  ) -> list[tuple[int, int]] | None:
    """Draws random views, one per photograph, without a concept."""
    order = rng.permutation(np.flatnonzero(self._splits == split))
    _, first = np.unique(self._photographs[order], return_index=True)
    if len(first) < self._k:
      return None
    return [(int(view), -1) for view in order[np.sort(first)][: self._k]]

  def _shuffled(
    self, split: str, grid: int, rng: np.random.Generator
  ) -> list[tuple[int, int]] | None:
    """Draws views that each show a different concept; None if there are too few."""
    regions: list[tuple[int, int]] = []
    used: set[int] = set()
    for index in rng.choice(len(self._concepts), len(self._concepts), replace=False):
      if grid not in self._concepts[index].grids:
        continue
      found = self._best(int(index), grid, 1, split, used, rng, among=self._k)
      if found is not None:
        regions.append((found[0][1], int(index)))
        used.add(int(self._photographs[found[0][1]]))
      if len(regions) == self._k:
        return regions
    return None


def draw_looks(grid: int, rng: np.random.Generator) -> Looks:
  """Draws random looks for a grid."""
  area = np.exp(rng.uniform(np.log(SMALLEST_AREA), np.log(LARGEST_AREA)))
  smoothing = float(rng.choice(SMOOTHINGS))
  return Looks(grid, float(area), smoothing, int(rng.integers(2**31)))


def _drawn(options: Sequence[str], rng: np.random.Generator) -> tuple[str, ...]:
  picks = rng.choice(len(options), NUM_CAPTIONS, replace=False)
  return tuple(options[pick] for pick in picks)


def _captions(concepts: Sequence[Concept], rng: np.random.Generator) -> tuple[str, ...]:
  if len(concepts) == 1:
    return _drawn(concepts[0].phrasings, rng)
  joints = _drawn(phrasings.TOGETHER, rng)
  first, second = (_drawn(concept.short, rng) for concept in concepts)
  return tuple(
    joint.format(x=x, y=y) for joint, x, y in zip(joints, first, second, strict=True)
  )


def unit_map(
  response: Float[np.ndarray, "grid grid"], looks: Looks, region: int, *, shown: bool
) -> Float[np.ndarray, "grid grid"]:
  """Returns a region's activation map: the response, smoothed and attenuated.

  Args:
    response: the strength of the concept in each cell.
    looks: the unit's smoothing and seed.
    region: index of the region; it seeds the attenuation.
    shown: False for a region without a concept, whose map is random.
  """
  grid, rng = response.shape[-1], np.random.default_rng([looks.seed, region])
  field = filters.random_field(grid, max(1.0, grid / 10), rng)
  if not shown:
    return field
  soft = (
    filters.filtered(response, looks.smoothing) if looks.smoothing > 0.1 else response
  )
  return soft * (1 - MOST_DIMMING * field)


def unit_masks(
  maps: Float[np.ndarray, "k grid grid"],
  concepts: Sequence[int],
  *,
  area: float,
  size: int,
) -> Bool[np.ndarray, "k {size} {size}"]:
  """Thresholds a unit's maps like activations, with one threshold per concept.

  The threshold is the quantile at which the masks cover `area` of their images on
  average, but at least half the median peak, so that the mask shows the concept. A
  region with a lower peak has a lower threshold, so that no mask is empty.
  """
  large = filters.upsampled(maps, size)
  masks = np.zeros(large.shape, bool)
  for concept in sorted(set(concepts)):
    rows = np.flatnonzero(np.array(concepts) == concept)
    values = large[rows]
    peaks = values.max((1, 2))
    threshold = max(np.quantile(values, 1 - area), MIN_THRESHOLD * np.median(peaks))
    thresholds = np.minimum(threshold, MAX_THRESHOLD * peaks)
    masks[rows] = values > thresholds[:, None, None]
  return masks


def peak(response: Float[np.ndarray, "grid grid"]) -> float:
  """Returns the strongest visible response: on fine grids, the best patch mean.

  A single pink pixel is not an exemplar of pink.
  """
  while response.shape[-1] > SIGHT_GRID:
    response = filters.halved(response)
  return float(response.max())
