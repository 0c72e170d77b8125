"""The page of a run, with every unit's regions and description."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Int

from milan_jax._src.catalog.page import PageInfo, PageUnit, Regions, write_page
from milan_jax._src.files.names import shown
from milan_jax._src.images.demo import PHOTOGRAPHS
from milan_jax._src.records import Description, ExemplarSet, GroupedExemplars

_DEMO_NOTES = (
  f"These units were shown only the {len(PHOTOGRAPHS)} photographs that come with "
  "milan-jax, cut into many crops at several scales. That is enough to try the "
  "program, but far too few to learn about a network.",
  "Use your own: `python describe.py --images FOLDER --workdir runs/mine`.",
)
_STARTER_NOTE = (
  "The shipped captioner knows colors, edges, textures and materials, and several "
  "hundred kinds of things and their parts, from a few hundred photographs and "
  "cut-outs. Less certain descriptions are marked, and if the confidence is too low, "
  "the description is “No clear pattern”."
)


@dataclasses.dataclass(frozen=True, slots=True)
class RunFacts:
  """The facts at the top of a run's page.

  Attributes:
    network: the described network, as given by the user.
    images: the images, as given by the user; empty if exemplars were given.
    captioner: the name of the captioner.
    weights: where the network's weights come from; empty if unknown.
    demo: whether it was shown the packaged photographs.
    parity: whether all exemplars are shown, including those on which the unit does not
      fire.
    source: identifies the regions: if it changes, their pictures are drawn again.
  """

  network: str
  images: str
  captioner: str
  weights: str = ""
  demo: bool = False
  parity: bool = False
  source: str = ""


def write_run_page(
  folder: pathlib.Path,
  found: ExemplarSet,
  descriptions: Iterable[Description],
  facts: RunFacts,
) -> pathlib.Path:
  """Writes `index.html` into a run directory.

  Args:
    folder: the run directory.
    found: the exemplars of the units.
    descriptions: one per unit.
    facts: of the run.

  Returns:
    The path of the page.
  """
  notes = (*_DEMO_NOTES,) if facts.demo else ()
  if facts.captioner == "starter":
    notes = (*notes, _STARTER_NOTE)
  network, images = shown(facts.network), shown(facts.images)
  name = pathlib.PurePath(network).name
  info = PageInfo(
    title=f"What the units of {name} respond to",
    architecture=name,
    dataset=images or "exemplars",
    facts={
      "Network": network,
      **({"Weights": facts.weights} if facts.weights else {}),
      "Images": f"{found.num_images} distinct ones shown, from "
      f"{images or 'the exemplars given'}",
      **({"Captioner": shown(facts.captioner)} if facts.captioner else {}),
    },
    notes=notes,
  )
  return write_page(
    folder,
    _units(found, descriptions, all_regions=facts.parity),
    info=info,
    layers=found.layers,
    source=facts.source,
  )


def _units(
  found: ExemplarSet, descriptions: Iterable[Description], *, all_regions: bool
) -> Iterator[PageUnit]:
  rows_of = {
    layer: {unit: row for row, unit in enumerate(found.exemplars(layer).signed_units())}
    for layer in found.layers
  }
  for entry in descriptions:
    layer = entry.unit.layer
    row = rows_of[layer][entry.unit]
    yield PageUnit(
      unit=entry.unit,
      description=entry.text,
      regions=functools.partial(_regions, found, layer, row, all_regions),
      scores={
        "score": entry.score,
        "log p(text | regions)": entry.log_prob,
        "log p(text)": entry.lm_log_prob,
      },
      dead=entry.dead,
      confidence=entry.confidence,
      guess=entry.guess or "",
      fires=None if entry.fires is None else (entry.fires, entry.images or 0),
      photographs=_photographs(found, layer, row, all_regions),
    )


def _image_rows(
  found: ExemplarSet, layer: str, row: int, everything: bool
) -> Int[np.ndarray, "regions"]:
  """Images of the regions of a unit that count, which come first, or of all."""
  known = found.exemplars(layer)
  count = None if everything else int(known.num_regions[row])
  rows: np.ndarray = known.image_rows[row, :count]
  return rows


def _photographs(
  found: ExemplarSet, layer: str, row: int, everything: bool
) -> int | None:
  """How many photographs the regions of a unit are from; None if no image is a crop."""
  if not isinstance(found, GroupedExemplars):
    return None
  groups = found.image_groups(_image_rows(found, layer, row, everything))
  return None if groups is None else len(np.unique(groups))


def _regions(found: ExemplarSet, layer: str, row: int, everything: bool) -> Regions:
  """The regions of a unit that count, which come first, or all of them."""
  image_rows = _image_rows(found, layer, row, everything)
  slots = np.arange(len(image_rows))
  masks = found.masks(layer, np.full_like(slots, row), slots)
  return found.images(image_rows), masks
