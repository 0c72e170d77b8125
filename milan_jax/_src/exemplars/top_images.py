"""The images on which each unit is most active: exact, streaming and mergeable.

If images come in groups, such as the crops of one photograph, only the best few images
of a group count. This is exact: an image is removed only for a better image, of its
group or of any group, and can never return.

Activations are in the model's own units. A state is donated to the function that takes
it, as to `jax.jit`: the function may overwrite it, so use only the returned state.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

# Higher than every image id, so that it ranks last.
NO_IMAGE = np.iinfo(np.int64).max
PER_GROUP = 2  # maximum number of images of one group among a unit's exemplars


@dataclasses.dataclass(frozen=True, slots=True)
class Groups:
  """The group of each image of a data set.

  Attributes:
    of_image: group of each image, by its position in the data set.
    limit: maximum number of images of a group among a unit's exemplars.
  """

  of_image: Int[np.ndarray, "images"]
  limit: int

  @classmethod
  def of(cls, groups: Int[np.ndarray, "images"], k: int) -> "Groups":
    """Returns groups with limit `PER_GROUP`, or the least that allows `k` images."""
    sizes = np.bincount(groups)
    limit = PER_GROUP
    while np.minimum(sizes, limit).sum() < min(k, len(groups)):
      limit += 1
    return cls(groups, limit)

  def within_limit(
    self, ranked_ids: Int[np.ndarray, "units n"]
  ) -> Bool[np.ndarray, "units n"]:
    """Marks the images that are among the first `limit` of their group in a row."""
    there = ranked_ids != NO_IMAGE
    groups = np.where(there, self.of_image[np.where(there, ranked_ids, 0)], -1)
    same = groups[:, :, None] == groups[:, None, :]
    before = np.tril(same, -1).sum(axis=2)
    within: np.ndarray = (before < self.limit) | ~there
    return within


@dataclasses.dataclass(frozen=True, slots=True)
class TopImages:
  """The `k` best images of each unit of a layer so far, best first.

  Attributes:
    activations: spatial maximum on each image; -inf if there is no image yet.
    image_ids: position of each image in the data set; the lower one wins a tie.
    slots: index of each image's map in `maps`; maps are never moved.
    maps: the unit's activations on the images, in float32.
    varies: whether the unit has had two different values.
    constant: the only value of a unit that has not varied; NaN for the others.
    num_bad_maps: number of images on which the unit's maximum was not finite, which are
      never ranked.
    num_ties: number of images that equal the last exemplar and are not exemplars only
      because their positions are higher; 0 if images come in groups.
  """

  activations: Float[np.ndarray, "units k"]
  image_ids: Int[np.ndarray, "units k"]
  slots: Int[np.ndarray, "units k"]
  maps: Float[np.ndarray, "units k height width"]
  varies: Bool[np.ndarray, "units"]
  constant: Float[np.ndarray, "units"]
  num_bad_maps: Int[np.ndarray, "units"]
  num_ties: Int[np.ndarray, "units"]

  @property
  def dead(self) -> Bool[np.ndarray, "units"]:
    """Units that never varied, or have fewer than `k` images with finite maxima."""
    return ~self.varies | np.isneginf(self.activations[:, -1])


def start(units: int, k: int, height: int, width: int) -> TopImages:
  """Returns the state before any image."""
  return TopImages(
    activations=np.full((units, k), -np.inf, np.float32),
    image_ids=np.full((units, k), NO_IMAGE, np.int64),
    slots=np.tile(np.arange(k), (units, 1)),
    maps=np.zeros((units, k, height, width), np.float32),
    varies=np.zeros(units, bool),
    constant=np.full(units, np.nan, np.float32),
    num_bad_maps=np.zeros(units, np.int64),
    num_ties=np.zeros(units, np.int64),
  )


def update(
  state: TopImages,
  image_ids: Int[np.ndarray, "batch"],
  activations: Float[np.ndarray, "batch height width units"],
  maxima: Float[np.ndarray, "batch units"],
  groups: Groups | None = None,
) -> TopImages:
  """Returns the state after a batch of images; batches may come in any order.

  Args:
    state: the state before the batch; donated.
    image_ids: position of each image in the data set; each image occurs once in a pass.
    activations: the layer's activations.
    maxima: their spatial maxima; NaN if a map has a NaN.
    groups: the groups, the same in each call; None if each image is its own group.
  """
  finite = np.isfinite(maxima)
  ranked = np.where(finite, maxima, -np.inf).T  # (units, batch)
  ids = np.where(finite.T, image_ids[None, :], NO_IMAGE)
  worst, worst_id = state.activations[:, -1:], state.image_ids[:, -1:]
  better = (ranked > worst) | ((ranked == worst) & (ids < worst_id))
  before = state.activations.copy()
  units = np.flatnonzero(better.any(axis=1))
  if units.size:
    _insert(state, units, ranked[units], ids[units], activations, groups)
  varies, constant = _variation(state.varies, state.constant, activations, maxima)
  return dataclasses.replace(
    state,
    varies=varies,
    constant=constant,
    num_bad_maps=state.num_bad_maps + (~finite).sum(axis=0),
    num_ties=_num_ties(state.activations, (before, state.num_ties), (ranked, None))
    if groups is None
    else state.num_ties,
  )


def merge(a: TopImages, b: TopImages, groups: Groups | None = None) -> TopImages:
  """Merges the states of two disjoint sets of images; both are donated."""
  order, activations, image_ids = _rank(
    np.concatenate([a.activations, b.activations], axis=1),
    np.concatenate([a.image_ids, b.image_ids], axis=1),
    k=a.activations.shape[1],
    groups=groups,
  )
  maps = np.concatenate([ranked_maps(a), ranked_maps(b)], axis=1)
  # A unit with a different constant in each state varies.
  apart = ~np.isnan(a.constant) & ~np.isnan(b.constant) & (a.constant != b.constant)
  varies = a.varies | b.varies | apart
  return TopImages(
    activations=activations,
    image_ids=image_ids,
    slots=np.tile(np.arange(order.shape[1]), (len(order), 1)),
    maps=maps[np.arange(len(maps))[:, None], order],
    varies=varies,
    constant=np.where(varies, np.float32(np.nan), np.fmin(a.constant, b.constant)),
    num_bad_maps=a.num_bad_maps + b.num_bad_maps,
    num_ties=_num_ties(
      activations, (a.activations, a.num_ties), (b.activations, b.num_ties)
    )
    if groups is None
    else a.num_ties,
  )


def ranked_maps(state: TopImages) -> Float[np.ndarray, "units k height width"]:
  """Returns the maps, best image first."""
  ranked: np.ndarray = state.maps[np.arange(len(state.maps))[:, None], state.slots]
  return ranked


def _rank(
  activations: Float[np.ndarray, "units n"],
  image_ids: Int[np.ndarray, "units n"],
  k: int,
  groups: Groups | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Ranks the best `k` columns of each row, by activation, then by lower id."""
  order = np.lexsort((image_ids, -activations), axis=1)
  if groups is not None:
    beyond = ~groups.within_limit(np.take_along_axis(image_ids, order, axis=1))
    last = np.argsort(beyond, axis=1, kind="stable")
    order = np.take_along_axis(order, last, axis=1)
  order = order[:, :k]
  return (
    order,
    np.take_along_axis(activations, order, axis=1),
    np.take_along_axis(image_ids, order, axis=1),
  )


def _num_ties(
  kept: Float[np.ndarray, "units k"],
  *parts: tuple[Float[np.ndarray, "units _"], Int[np.ndarray, "units"] | None],
) -> Int[np.ndarray, "units"]:
  """Counts the candidates that equal the last one kept but were not kept.

  Args:
    kept: maxima of the best candidates, best first.
    parts: maxima of the candidates, with their number of ties with the last of them.
  """
  last = kept[:, -1:]
  number = -(kept == last).sum(axis=1)
  for candidates, ties in parts:
    number += (candidates == last).sum(axis=1)
    if ties is not None:
      number += np.where(candidates[:, -1] == last[:, 0], ties, 0)
  return np.where(np.isneginf(last[:, 0]), 0, number)


def _insert(
  state: TopImages,
  units: Int[np.ndarray, "some"],
  ranked: Float[np.ndarray, "some batch"],
  ids: Int[np.ndarray, "some batch"],
  activations: Float[np.ndarray, "batch height width units"],
  groups: Groups | None,
) -> None:
  """Inserts new images into the ranking of some units, in place."""
  k = state.activations.shape[1]
  order, state.activations[units], state.image_ids[units] = _rank(
    np.concatenate([state.activations[units], ranked], axis=1),
    np.concatenate([state.image_ids[units], ids], axis=1),
    k=k,
    groups=groups,
  )
  entered, left = order >= k, np.ones(order.shape, bool)
  rows, ranks = np.nonzero(~entered)
  left[rows, order[rows, ranks]] = False
  # For each unit, as many images enter as leave. Both lists are in the order of units,
  # so that their items correspond.
  rows, ranks = np.nonzero(entered)
  freed = state.slots[units][left]
  slots = np.take_along_axis(state.slots[units], np.where(entered, 0, order), axis=1)
  slots[rows, ranks] = freed
  state.slots[units] = slots
  by_unit = activations.transpose(0, 3, 1, 2)
  state.maps[units[rows], freed] = by_unit[order[rows, ranks] - k, units[rows]]


def _variation(
  varies: Bool[np.ndarray, "units"],
  constant: Float[np.ndarray, "units"],
  activations: Float[np.ndarray, "batch height width units"],
  maxima: Float[np.ndarray, "batch units"],
) -> tuple[np.ndarray, np.ndarray]:
  """Marks the units that have varied; also returns the constants of the others.

  NaN is ignored. The maxima alone show that most units vary; all values are compared
  only for the others.
  """
  high, low = np.fmax.reduce(maxima, axis=0), np.fmin.reduce(maxima, axis=0)
  varies = varies | (high > low)
  still = np.flatnonzero(~varies)
  values = activations[..., still]
  high = np.fmax(np.fmax.reduce(values, axis=(0, 1, 2)), constant[still])
  low = np.fmin(np.fmin.reduce(values, axis=(0, 1, 2)), constant[still])
  varies[still] = high > low
  constant = np.full_like(constant, np.nan)
  constant[still] = low
  constant[varies] = np.nan
  return varies, constant
