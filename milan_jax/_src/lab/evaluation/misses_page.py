"""Writes one page with the regions, description and truth of every miss."""

import functools
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from milan_jax._src.catalog.page import PageInfo, PageUnit, write_page
from milan_jax._src.catalog.pictures import Regions
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.lab.evaluation.described import Judged
from milan_jax._src.records import ExemplarSet, Unit
from milan_jax._src.store.exemplar_sets import open_exemplars


def write_misses(
  folder: pathlib.Path, cases: Mapping[str, Sequence[Judged]], *, milan: str
) -> pathlib.Path | None:
  """Writes the page of all units whose description the lenient judge rejects.

  Args:
    folder: the folder to write to.
    cases: the judged units, by the test's name.
    milan: the captioner's name.

  Returns:
    The path of the page; None if there are no misses.
  """
  misses = {
    name: [case for case in judged if not case.verdict.lenient]
    for name, judged in cases.items()
  }
  misses = {name: missed for name, missed in misses.items() if missed}
  if not misses:
    return None
  digest = sha256_of(
    f"{name} {case.run.folder.resolve()} {case.unit.layer} {case.unit.index}\n"
    for name, missed in misses.items()
    for case in missed
  )
  units = [
    _shown(Unit(name, place), case)
    for name, missed in misses.items()
    for place, case in enumerate(missed)
  ]
  info = PageInfo(
    title=f"Wrong descriptions of {milan}",
    architecture="several",
    dataset="tests with known truth",
    facts={
      name: f"{len(missed)} of {len(cases[name])} missed"
      for name, missed in misses.items()
    },
    notes=("Judged by the lenient judge; the truth follows each description.",),
  )
  return write_page(folder, units, info=info, layers=tuple(misses), source=digest)


def _shown(name: Unit, case: Judged) -> PageUnit:
  said = case.answer.text
  if case.verdict.refused and case.answer.guess != said:
    said = f"{said} (withheld: {case.answer.guess})"
  where = f"{case.unit.layer} {case.unit.index}"
  return PageUnit(
    unit=name,
    description=f"{said} — truth: {case.truth.name} [{where}]",
    regions=functools.partial(_regions, str(case.run.exemplars), case.unit),
    scores={"confidence": case.answer.confidence},
  )


@functools.cache
def _store(path: str) -> ExemplarSet:
  return open_exemplars(path)


def _regions(path: str, unit: Unit) -> Regions:
  store = _store(path)
  found = store.exemplars(unit.layer)
  row = found.signed_units().index(unit)
  image_rows = found.image_rows[row]
  slots = np.arange(len(image_rows))
  masks = store.masks(unit.layer, np.full_like(slots, row), slots)
  return store.images(image_rows), masks
