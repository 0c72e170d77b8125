"""Features of units' regions in memory, with the interface of a feature store."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from milan_jax._src.errors import UserError
from milan_jax._src.records import LayerExemplars
from milan_jax._src.store.feature_store import FeatureStore, index_entry
from milan_jax._src.store.row_numbers import row_numbers


class MemoryFeatures(FeatureStore):
  """Features of all units of some layers, kept in memory alone.

  Args:
    layers: the exemplars of the layers; all have as many per unit.
    tables: their features.
    about: what they are of, as `FeatureWriter` takes it.
  """

  def __init__(
    self,
    layers: Sequence[LayerExemplars],
    tables: Sequence[Float[np.ndarray, "units k features"]],
    about: Mapping[str, Any] | None = None,
  ):
    self.about = {} if about is None else about
    shapes = {table.shape[1:] for table in tables}
    if len(shapes) > 1:
      raise UserError(
        "exemplars: expected the same number of regions in all layers, found "
        f"{sorted(shape[0] for shape in shapes)}: describe the layers one at a time."
      )
    self.k, self.feature_size = shapes.pop()
    entries: list[dict[str, Any]] = [
      index_entry(layer, table.shape)
      for layer, table in zip(layers, tables, strict=True)
    ]
    self._set_layers(entries)
    self._tables = list(tables)
    self._numbers = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    self._rows = np.concatenate([np.arange(len(table)) for table in tables])

  def read_rows(
    self, indices: Int[np.ndarray, "units"]
  ) -> Float[np.ndarray, "units k features"]:
    """The features of units at any indices."""
    indices = row_numbers(indices, len(self), "units")
    found = np.empty((len(indices), self.k, self.feature_size), np.float32)
    for place, index in enumerate(indices.tolist()):
      found[place] = self._tables[self._numbers[index]][self._rows[index]]
    return found

  def tables(self) -> dict[str, Float[np.ndarray, "units k features"]]:
    """The features of all layers."""
    return dict(zip(self.layers, self._tables, strict=True))

  def files(self) -> list[tuple[str, pathlib.Path]]:
    """Raises UserError: there are none."""
    raise UserError(
      "exemplars: these features are in memory alone, and a run directory needs files: "
      "give Captioner.encode a folder."
    )
