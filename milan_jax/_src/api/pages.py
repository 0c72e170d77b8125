"""The page of described units."""

import os
import pathlib
from collections.abc import Iterable

import numpy as np

from milan_jax._src.catalog.run_page import RunFacts, write_run_page
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.records import Description, ExemplarSet


def write_page(
  folder: str | os.PathLike[str],
  exemplars: ExemplarSet,
  descriptions: Iterable[Description],
  *,
  network: str = "the network",
  images: str = "",
  captioner: str = "starter",
) -> pathlib.Path:
  """Writes `index.html`: each unit's regions beside its description.

  Args:
    folder: where to; made if missing, other files in it are left alone.
    exemplars: the exemplars that were described.
    descriptions: one per unit.
    network: what the page calls the network.
    images: what the page calls the images.
    captioner: what the page calls the captioner.

  Returns:
    The path of the page.

  Example:
    >>> milan_jax.write_page("page", exemplars, descriptions).name
    'index.html'
  """
  facts = RunFacts(network, images, captioner, source=_digest(exemplars))
  pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
  return write_run_page(pathlib.Path(folder), exemplars, descriptions, facts)


def _digest(exemplars: ExemplarSet) -> str:
  """Identifies the regions, so that a page of others draws their pictures again."""
  parts: list[str | np.ndarray] = []
  for layer in exemplars.layers:
    found = exemplars.exemplars(layer)
    arrays = (found.units, found.image_ids, found.activations, found.thresholds)
    parts += [layer, *(array for array in arrays if array is not None)]
  return sha256_of(parts)
