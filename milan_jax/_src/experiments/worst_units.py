"""The page of the units with the worst descriptions: what fails, in pictures."""

import functools
import pathlib
from collections.abc import Mapping

import numpy as np

from milan_jax._src.catalog.page import PageInfo, PageUnit, write_page
from milan_jax._src.catalog.pictures import Regions
from milan_jax._src.experiments.trained_trial import PMI, TEST, TrialData
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.records import ExemplarSet, Unit
from milan_jax._src.scores.score_table import unit_scores
from milan_jax._src.scores.text_metric import TextMetric
from milan_jax._src.store.joined_exemplars import joined_layer

# Annotations of a unit that the page shows.
_SHOWN = 3


def write_worst(
  folder: pathlib.Path,
  cases: Mapping[str, tuple[TrialData, Mapping[str, object]]],
  *,
  metric: TextMetric,
  number: int,
) -> pathlib.Path:
  """Writes a page with the units whose descriptions score worst.

  Args:
    folder: the folder to write to.
    cases: of each case, its units and a trial with `descriptions`.
    metric: ranks the units by its first score.
    number: units of each case.

  Returns:
    The path of the page.
  """
  shown: list[PageUnit] = []
  facts = {}
  for name, (data, trial) in cases.items():
    said = trial["descriptions"][PMI]  # type: ignore[index]
    units, known = data.units(TEST), data.known(TEST)
    scores = unit_scores(metric, said, known)
    worst = np.argsort(scores, kind="stable")[:number]
    facts[name] = (
      f"{metric.names[0]} of a unit: median {np.median(scores):.2f}, "
      f"{np.mean(scores <= 0):.0%} at 0 or below"
    )
    for place, row in enumerate(worst.tolist()):
      unit = units[row]
      people = "; ".join(dict.fromkeys(known[row][:_SHOWN]))
      where = f"{unit.layer} {unit.index}" + " off" * (unit.sign == "off")
      shown.append(
        PageUnit(
          unit=Unit(name, place),
          description=f"{said[row]} — people: {people} [{where}]",
          regions=functools.partial(_regions, data, unit),
          scores={metric.names[0]: float(scores[row])},
        )
      )
  info = PageInfo(
    title="Descriptions that differ most from what people wrote",
    architecture="several",
    dataset="annotated networks",
    facts=facts,
    notes=(
      "The captioner's description of each unit, then the annotations, then network, "
      "layer and unit. A low score is not always an error: people may describe the "
      "same regions in other words.",
    ),
  )
  digest = sha256_of(f"{each.unit} {each.description}\n" for each in shown)
  return write_page(folder, shown, info=info, layers=tuple(cases), source=digest)


def _regions(data: TrialData, joined: Unit) -> Regions:
  for name, one in data.sets.items():
    for layer in one.exemplars.layers:
      if joined_layer(name, layer) == joined.layer:
        return _shown(one.exemplars, layer, joined)
  raise KeyError(joined)


def _shown(exemplars: ExemplarSet, layer: str, joined: Unit) -> Regions:
  found = exemplars.exemplars(layer)
  row = found.signed_units().index(Unit(layer, joined.index, joined.sign))
  rows = found.image_rows[row]
  slots = np.arange(len(rows))
  return exemplars.images(rows), exemplars.masks(layer, np.full_like(slots, row), slots)
