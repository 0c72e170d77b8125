"""Records that packages exchange.

Conventions: images are uint8 RGB, `height x width x 3`; activations are in the
model's own units; `image_ids` are positions in the data set; `image_rows` are positions
in an exemplar set's table of distinct images.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, UInt8

from milan_jax._src.notebook import Shown

Sign = Literal["on", "off"]


@dataclasses.dataclass(frozen=True, order=True, slots=True, repr=False)
class Unit:
  """One unit (channel) of one layer, and the direction in which it responds.

  Attributes:
    layer: the layer's name.
    index: the unit's index in it.
    sign: "on" for what raises the unit's activation, "off" for what lowers it.

  Example:
    >>> milan_jax.Unit("layer3", 17)
    Unit(layer='layer3', index=17)
    >>> milan_jax.Unit("layer3", 17, "off")
    Unit(layer='layer3', index=17, sign='off')
  """

  layer: str
  index: int
  sign: Sign = "on"

  def __repr__(self) -> str:
    sign = "" if self.sign == "on" else f", sign={self.sign!r}"
    return f"Unit(layer={self.layer!r}, index={self.index!r}{sign})"


@dataclasses.dataclass(frozen=True, slots=True)
class LayerShape(Shown):
  """The activations of a layer for one image: `units` at `height x width` positions.

  Attributes:
    name: the layer's name.
    height: rows of positions.
    width: columns of positions.
    units: number of units.
    raw: shape of the array that the model returns, batch included; empty if unknown.
    layout: how that array is read, such as `NCHW`; empty if unknown.

  Example:
    >>> network.probe.layers()[0].units
    4
  """

  name: str
  height: int
  width: int
  units: int
  raw: tuple[int, ...] = dataclasses.field(default=(), compare=False)
  layout: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class LayerExemplars:
  """The exemplars of some units of one layer, best first.

  Attributes:
    layer: the layer's name.
    units: index of each unit in its layer.
    image_ids: position in the data set of each exemplar.
    image_rows: row of each exemplar in the set's table of distinct images.
    activations: spatial maximum of each exemplar; None if unknown.
    thresholds: quantile of each unit's activations, which masks exceed, by the set's
      margin if it has one; None if unknown.
    dead: whether each unit never varies, or has exemplars without meaning.
    num_firing: number of images on which each unit fires: those where it is above zero
      if it is never below zero, otherwise all; None if unknown.
    num_images: number of images over which `num_firing` was counted; None if unknown.
    off: whether each row is of what lowers its unit; the activations of such a row are
      distances below the unit's resting value, the threshold of its upper tail; None
      if all rows are "on".

  Example:
    >>> found = exemplars.exemplars("conv2")
    >>> found.units.shape, found.activations.shape
    ((8,), (8, 5))
  """

  layer: str
  units: Int[np.ndarray, "units"]
  image_ids: Int[np.ndarray, "units k"]
  image_rows: Int[np.ndarray, "units k"]
  activations: Float[np.ndarray, "units k"] | None
  thresholds: Float[np.ndarray, "units"] | None
  dead: Bool[np.ndarray, "units"]
  num_firing: Int[np.ndarray, "units"] | None = None
  num_images: Int[np.ndarray, "units"] | None = None
  off: Bool[np.ndarray, "units"] | None = None

  def signed_units(self) -> list[Unit]:
    """Each row's unit, with its sign."""
    off = np.zeros(len(self.units), bool) if self.off is None else self.off
    return signed_units(self.layer, self.units.tolist(), off.tolist())

  @property
  def num_regions(self) -> Int[np.ndarray, "units"]:
    """How many exemplars of each unit count, the best ones: those on which it fires.

    All of them where that is not known, or where the unit fires on no image at all.
    """
    units, k = self.image_ids.shape
    if self.num_firing is None:
      return np.full(units, k)
    counts: np.ndarray = np.where(
      self.num_firing > 0, np.minimum(self.num_firing, k), k
    )
    return counts


@dataclasses.dataclass(frozen=True, slots=True)
class LayerDistribution:
  """How the activations of some units of one layer are distributed, with samples.

  A histogram has bins of one width, of which the first begins at a unit's least value
  or below. Activations of an "off" row are distances below its unit's resting value.

  Attributes:
    layer: the layer's name.
    value_bins: start of the first bin of the histogram of each unit's activations at
      the positions of all images, or at some of them, and the width of its bins.
    value_counts: number of activations in each bin.
    maximum_bins: as `value_bins`, of the spatial maximum on each image.
    maximum_counts: number of images whose maximum is in each bin.
    sample_rows: row in the set's table of images of each sample from over the range of
      the maxima, highest first; -1 for none.
    sample_activations: spatial maximum on each sample; NaN for none.
    sample_shares: number of images in the interval of the range that each sample is
      from.
    sample_above: whether an activation on each sample exceeds the threshold.
  """

  layer: str
  value_bins: Float[np.ndarray, "units 2"]
  value_counts: Integer[np.ndarray, "units bins"]
  maximum_bins: Float[np.ndarray, "units 2"]
  maximum_counts: Integer[np.ndarray, "units bins"]
  sample_rows: Int[np.ndarray, "units samples"]
  sample_activations: Float[np.ndarray, "units samples"]
  sample_shares: Integer[np.ndarray, "units samples"]
  sample_above: Bool[np.ndarray, "units samples"]


def signed_units(layer: str, indices: Iterable[int], off: Iterable[bool]) -> list[Unit]:
  """Units of a layer by their indices, each "off" or "on"."""
  return [
    Unit(layer, index, "off" if is_off else "on")
    for index, is_off in zip(indices, off, strict=True)
  ]


@runtime_checkable
class ExemplarSet(Protocol):
  """Exemplars of the units of some layers: the interface of all readers of stores.

  Example:
    >>> isinstance(exemplars, milan_jax.ExemplarSet)
    True
    >>> exemplars.exemplars("conv2").image_ids.shape
    (8, 5)
  """

  @property
  def layers(self) -> tuple[str, ...]:
    """Names of the layers, in the order in which they are described."""

  @property
  def num_images(self) -> int:
    """Number of distinct images."""

  def exemplars(self, layer: str) -> LayerExemplars:
    """Ids, rows, activations and thresholds of a layer's units."""

  def images(self, rows: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n height width 3"]:
    """The distinct images at `rows`."""

  def masks(
    self, layer: str, rows: Int[np.ndarray, "n"], slots: Int[np.ndarray, "n"]
  ) -> Bool[np.ndarray, "n height width"]:
    """Masks, at the images' size, of some exemplars of a layer.

    Args:
      layer: the layer's name.
      rows: rows of `exemplars(layer)`, one per mask.
      slots: which of the unit's k exemplars, one per mask.
    """


@runtime_checkable
class GroupedExemplars(Protocol):
  """An exemplar set whose images may come in groups, such as crops of photographs."""

  def image_groups(self, rows: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"] | None:
    """The group of each of the distinct images at `rows`; None if there are none."""


@runtime_checkable
class MappedExemplars(Protocol):
  """An exemplar set that may know the activation maps and the names of its images."""

  def maps(
    self, layer: str, rows: Int[np.ndarray, "n"], slots: Int[np.ndarray, "n"]
  ) -> Float[np.ndarray, "n height width"] | None:
    """The activation maps of some exemplars; None if a layer's are not known.

    Args:
      layer: the layer's name.
      rows: rows of `exemplars(layer)`, one per map.
      slots: which of the unit's k exemplars, one per map.
    """

  def image_names(self, rows: Int[np.ndarray, "n"]) -> list[str] | None:
    """The names of the distinct images at `rows`; None if there are none."""


@runtime_checkable
class DistributedExemplars(Protocol):
  """An exemplar set that may know how activations are distributed, with samples."""

  def distribution(self, layer: str) -> LayerDistribution | None:
    """The distribution of the activations of a layer's units; None if not known."""

  def sample_masks(
    self, layer: str, rows: Int[np.ndarray, "n"], slots: Int[np.ndarray, "n"]
  ) -> Bool[np.ndarray, "n height width"]:
    """Masks, at the images' size, of some samples of a layer.

    Args:
      layer: the layer's name.
      rows: rows of `distribution(layer)`, one per mask.
      slots: which of the unit's samples, one per mask.
    """


@dataclasses.dataclass(frozen=True, slots=True)
class Hypothesis:
  """A description that a search found.

  Attributes:
    text: the description, as a sentence.
    score: the score that the strategy ranks by, in nats.
    log_prob: log p(description | regions), in nats.
    lm_log_prob: log p(description), in nats; None without a language model.
  """

  text: str
  score: float
  log_prob: float
  lm_log_prob: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Description(Shown):
  """A captioner's description of a unit, with its scores.

  Attributes:
    unit: the unit.
    text: the description, as a sentence.
    score: the score that the strategy ranks by, in nats.
    log_prob: log p(description | regions), in nats.
    lm_log_prob: log p(description), in nats; None without a language model.
    dead: the unit never varied over the images, so the text means nothing.
    margin: difference between the score and that of the next best description, in
      nats; None if no other is known.
    confidence: the probability that the best hypothesis fits the unit; None if the
      captioner's confidence was not calibrated.
    guess: the withheld description, if the confidence is too low.
    fires: number of images on which the unit fires, as in `LayerExemplars`; None if
      unknown.
    images: number of images over which `fires` was counted; None if unknown.
    hypotheses: the best of the beam, and its most likely and most informative one, by
      score; empty where the search kept no beam.

  Example:
    >>> descriptions[0].unit
    Unit(layer='conv2', index=0)
  """

  unit: Unit
  text: str
  score: float
  log_prob: float
  lm_log_prob: float | None = None
  dead: bool = False
  margin: float | None = None
  confidence: float | None = None
  guess: str | None = None
  fires: int | None = None
  images: int | None = None
  hypotheses: tuple[Hypothesis, ...] = dataclasses.field(
    default=(), compare=False, repr=False
  )


class Descriptions(list[Description], Shown):
  """A list of descriptions that a notebook shows as a table, with regions if known.

  Attributes:
    exemplars: the exemplars of the units; None if they are not at hand.

  Example:
    >>> descriptions = captioner.describe(exemplars)
    >>> descriptions.exemplars is exemplars
    True
  """

  def __init__(
    self, descriptions: Iterable[Description] = (), exemplars: ExemplarSet | None = None
  ):
    """Takes the descriptions.

    Args:
      descriptions: one per unit.
      exemplars: what they were made of.
    """
    super().__init__(descriptions)
    self.exemplars = exemplars


def rows_of(found: ExemplarSet, units: Sequence[Unit]) -> dict[str, list[int]]:
  """The row of each unit in its layer's exemplars, by layer.

  Raises:
    KeyError: a unit has no exemplars.
  """
  known: dict[str, dict[Unit, int]] = {}
  rows: dict[str, list[int]] = {}
  for unit in units:
    if unit.layer not in known and unit.layer in found.layers:
      signed = found.exemplars(unit.layer).signed_units()
      known[unit.layer] = {each: row for row, each in enumerate(signed)}
    rows.setdefault(unit.layer, []).append(known.get(unit.layer, {})[unit])
  return rows
