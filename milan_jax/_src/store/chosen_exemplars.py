"""A subset of an exemplar set's units, as an exemplar set."""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from milan_jax._src.notebook import Shown
from milan_jax._src.records import (
  DistributedExemplars,
  ExemplarSet,
  GroupedExemplars,
  LayerDistribution,
  LayerExemplars,
  MappedExemplars,
)
from milan_jax._src.store.row_numbers import check_layer, row_numbers


class ChosenExemplars(Shown):
  """A view of an exemplar set; only ids are copied.

  Args:
    exemplars: the whole set.
    rows: the chosen rows of `exemplars.exemplars(layer)` for each layer; the view has
      the layers in this order.
  """

  def __init__(
    self, exemplars: ExemplarSet, rows: Mapping[str, Int[np.ndarray, "chosen"]]
  ):
    self._exemplars = exemplars
    self._rows = dict(rows)

  @property
  def folder(self) -> pathlib.Path | None:
    """The folder of the whole set; None if it is not on disk."""
    return getattr(self._exemplars, "folder", None)

  @property
  def layers(self) -> tuple[str, ...]:
    """Names of the chosen layers."""
    return tuple(self._rows)

  @property
  def num_images(self) -> int:
    """Number of distinct images in the whole set."""
    return self._exemplars.num_images

  def image_groups(self, rows: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"] | None:
    """The group of each image at `rows`; None if none is known."""
    whole = self._exemplars
    return whole.image_groups(rows) if isinstance(whole, GroupedExemplars) else None

  def maps(
    self, layer: str, rows: Int[np.ndarray, "n"], slots: Int[np.ndarray, "n"]
  ) -> Float[np.ndarray, "n height width"] | None:
    """Returns the activation maps of exemplars of a layer; None if not known."""
    whole = self._exemplars
    if not isinstance(whole, MappedExemplars):
      return None
    return whole.maps(layer, self._at(layer, rows), slots)

  def image_names(self, rows: Int[np.ndarray, "n"]) -> list[str] | None:
    """Returns the names of the distinct images at `rows`; None if not known."""
    whole = self._exemplars
    return whole.image_names(rows) if isinstance(whole, MappedExemplars) else None

  def exemplars(self, layer: str) -> LayerExemplars:
    """Returns ids, rows, activations and thresholds of a layer's chosen units."""
    rows = self._chosen(layer)
    whole = self._exemplars.exemplars(layer)
    return dataclasses.replace(
      whole,
      units=whole.units[rows],
      image_ids=whole.image_ids[rows],
      image_rows=whole.image_rows[rows],
      activations=None if whole.activations is None else whole.activations[rows],
      thresholds=None if whole.thresholds is None else whole.thresholds[rows],
      dead=whole.dead[rows],
      num_firing=None if whole.num_firing is None else whole.num_firing[rows],
      num_images=None if whole.num_images is None else whole.num_images[rows],
      off=None if whole.off is None else whole.off[rows],
    )

  def images(self, rows: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n height width 3"]:
    """Returns the distinct images at `rows`."""
    return self._exemplars.images(rows)

  def masks(
    self, layer: str, rows: Int[np.ndarray, "n"], slots: Int[np.ndarray, "n"]
  ) -> Bool[np.ndarray, "n height width"]:
    """Returns masks of exemplars of a layer; `rows` index its chosen units."""
    return self._exemplars.masks(layer, self._at(layer, rows), slots)

  def distribution(self, layer: str) -> LayerDistribution | None:
    """Returns histograms and samples of a layer's chosen units; None if not known."""
    whole = self._exemplars
    found = (
      whole.distribution(layer) if isinstance(whole, DistributedExemplars) else None
    )
    if found is None:
      return None
    rows = self._chosen(layer)
    arrays = {
      field.name: getattr(found, field.name)[rows]
      for field in dataclasses.fields(found)
      if field.name != "layer"
    }
    return LayerDistribution(layer, **arrays)

  def sample_masks(
    self, layer: str, rows: Int[np.ndarray, "n"], slots: Int[np.ndarray, "n"]
  ) -> Bool[np.ndarray, "n height width"]:
    """Returns masks of samples of a layer; `rows` index its chosen units."""
    whole = self._exemplars
    assert isinstance(whole, DistributedExemplars), "samples are known"
    return whole.sample_masks(layer, self._at(layer, rows), slots)

  def _chosen(self, layer: str) -> Int[np.ndarray, "chosen"]:
    check_layer(layer, self._rows, "exemplars")
    return self._rows[layer]

  def _at(self, layer: str, rows: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """Rows of the whole set."""
    chosen = self._chosen(layer)
    found: np.ndarray = chosen[row_numbers(rows, len(chosen), "rows")]
    return found
