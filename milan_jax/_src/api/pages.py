"""The page of described units."""

import os
import pathlib
from collections.abc import Iterable

from milan_jax._src.api.exemplar_digests import digest_of
from milan_jax._src.api.stores import (
  check_exemplars,
  check_units,
  checked_descriptions,
  folder_to_write,
)
from milan_jax._src.catalog.run_page import RunFacts, write_run_page
from milan_jax._src.errors import UserError
from milan_jax._src.records import Description, ExemplarSet


def write_page(
  folder: str | os.PathLike[str],
  exemplars: ExemplarSet,
  descriptions: Iterable[Description],
  *,
  network: str = "the network",
  images: str = "",
  captioner: str = "",
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

  Raises:
    UserError: there is no description, one is of another unit, or the folder has a page
      or pictures that milan-jax did not write.

  Example:
    >>> milan_jax.write_page("page", exemplars, descriptions).name
    'index.html'
  """
  check_exemplars(exemplars)
  called = {"network": network, "images": images, "captioner": captioner}
  for name, value in called.items():
    if not isinstance(value, str):
      raise UserError(f"{name}: expected a text, a name for the page; found {value!r}.")
  descriptions = checked_descriptions(descriptions)
  if not descriptions:
    raise UserError("descriptions: expected at least one; found none.")
  check_units(exemplars, (entry.unit for entry in descriptions))
  facts = RunFacts(network, images, captioner, source=digest_of(exemplars))
  path = folder_to_write("folder", folder)
  path.mkdir(parents=True, exist_ok=True)
  return write_run_page(path, exemplars, descriptions, facts)
