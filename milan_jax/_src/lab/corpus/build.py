"""Builds an annotated region set with known truth, to train the starter captioner.

There are two kinds of units. A measured unit shows a property that is computed from
pixels: a color, edge, line or texture. One pass over the photographs finds the views
that show each property best, and a second pass computes their maps. A named unit shows
a thing. Its regions come from photographs whose regions were named, and from scenes
composed of cut-outs, textures and lettering. The sources are split into training,
validation and test before anything is rendered.

A tenth of the units shows nothing in particular. They have no captions, since many have
something in common by chance, such as even backgrounds.
"""

import csv
import json
import os
import pathlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from milan_jax._src.errors import UserError
from milan_jax._src.files import atomic
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.images.source import ImageSource
from milan_jax._src.lab.corpus import (
  concepts,
  measured_maps,
  measures,
  named_units,
  units,
  views,
)
from milan_jax._src.lab.corpus import unit_truths as truth
from milan_jax._src.lab.corpus.concepts import Concept
from milan_jax._src.lab.corpus.named_concepts import find_marks, named_concepts
from milan_jax._src.lab.corpus.named_units import NamedPlan, NamedPlanner
from milan_jax._src.lab.corpus.rendering import Maps, render_scenes
from milan_jax._src.lab.corpus.scene_list import all_scenes
from milan_jax._src.lab.corpus.sources.picture import Picture, digest
from milan_jax._src.lab.corpus.survey import Progress, Survey, survey
from milan_jax._src.lab.corpus.units import SPLITS, UnitPlan
from milan_jax._src.records import Unit
from milan_jax._src.store.annotations import write_annotations
from milan_jax._src.store.region_sets import RegionSetWriter
from milan_jax._src.store.truths import MANIFEST

LAYER = "corpus"
SPLIT_TABLE = "split.csv"
# Fraction of measured units, if named regions are available too.
MEASURED_SHARE = 0.36


def build_corpus(
  photographs: ImageSource,
  out_dir: str | os.PathLike[str],
  *,
  num_units: int,
  pictures: Sequence[Picture] = (),
  packages: Sequence[Mapping[str, str]] = (),
  k: int = 15,
  size: int = measures.SIZE,
  seed: int = 0,
  threads: int = 2,
  progress: Progress | None = None,
) -> dict[str, Any]:
  """Writes an exemplar store with computed masks and synthetic annotations.

  `out_dir` receives the store, `annotations.csv` (`layer,unit,summary`, three rows per
  unit that shows something), `split.csv` (`layer,unit,split`), `truth.json` (the right
  words for each unit) and `manifest.json` (the settings, the name, hash and split of
  each source, and each unit's concept). The split is by source, so units of different
  splits share no source. The same call writes the same bytes. An interrupted call
  resumes when repeated, and a finished corpus is left as it is.

  Args:
    photographs: the images; each must be a whole photograph, not a crop.
    out_dir: folder to create.
    num_units: total number of units.
    pictures: cut-outs, textures and named photographs.
    packages: the packages that `pictures` come from, for the manifest.
    k: number of regions per unit.
    size: side of the images and masks, in pixels; must be 224.
    seed: seeds every random draw.
    threads: number of threads that measure and render.
    progress: called with the name of the stage, the steps done and the total steps.

  Returns:
    The manifest.

  Raises:
    UserError: if there are too few photographs, or `out_dir` holds something else.
  """
  out_dir = pathlib.Path(out_dir)
  if size != measures.SIZE:
    raise UserError(
      f"The corpus needs images of {measures.SIZE} pixels, but size is {size}: leave "
      "the size at its default."
    )
  report = progress or (lambda stage, done, total: None)
  table = concepts.table()
  sources = [(picture.key, picture.group, digest(picture)) for picture in pictures]
  settings = {
    "num_units": num_units,
    "k": k,
    "size": size,
    "seed": seed,
    "photographs": _fingerprint(
      photographs.name(index) for index in range(len(photographs))
    ),
    "pictures": _fingerprint(text for row in sources for text in row),
    "concepts": _fingerprint(
      text for concept in table for text in (concept.name, *concept.phrasings)
    ),
  }
  if (out_dir / MANIFEST).exists():
    manifest: dict[str, Any] = json.loads(
      (out_dir / MANIFEST).read_text(encoding="utf-8")
    )
    if manifest["settings"] != settings:
      raise UserError(
        f"{out_dir} holds a corpus built with other settings or sources: remove it "
        "or choose another folder."
      )
    return manifest
  work = _work_folder(out_dir, settings)
  found = survey(photographs, table, work, seed=seed, threads=threads, report=report)
  _check_enough(found, k)
  picture_splits = units.split_groups([group for _, group, _ in sources], seed)
  scenes = all_scenes(photographs, found, pictures, picture_splits, seed=seed)
  marks = find_marks(scenes)
  planner = NamedPlanner(scenes, marks, named_concepts(scenes, marks), k)
  named_part = 1 - MEASURED_SHARE if all(map(planner.concepts_of, SPLITS)) else 0.0
  num_named = round(named_part * num_units)
  measured = _measured_plans(found, table, num_units - num_named, k, seed)
  named = _named_plans(planner, num_named, seed)
  if not (out_dir / "meta.json").exists():
    maps = measured_maps.measured_maps(
      photographs, table, measured, found, work, threads=threads, report=report
    )
    info = {"corpus": settings}
    with RegionSetWriter(out_dir, LAYER, k, size, info=info) as writer:
      _write_measured(photographs, measured, found, maps, writer, size, report)
      rendered = render_scenes(scenes, named, writer, threads=threads, report=report)
      _write_named(named, rendered, writer, len(measured), size, report)
  manifest = _manifest(photographs, found, sources, picture_splits, measured, named)
  manifest |= {"settings": settings, "packages": [dict(row) for row in packages]}
  _write_tables(out_dir, table, measured, named, manifest)
  shutil.rmtree(work)
  return manifest


def _work_folder(out_dir: pathlib.Path, settings: Mapping[str, Any]) -> pathlib.Path:
  """Returns the folder for unfinished work; empties it if the settings differ."""
  work = out_dir.with_name(f".{out_dir.name}.work")
  marker = work / "settings.json"
  if not marker.exists() or json.loads(marker.read_text()) != settings:
    shutil.rmtree(work, ignore_errors=True)
    atomic.write_json(marker, settings)
  return work


def _check_enough(found: Survey, k: int) -> None:
  counts = {split: 0 for split in SPLITS}
  for split in found.splits.values():
    counts[split] += 1
  if min(counts.values()) < k:
    needed = int(np.ceil(k / min(units.SPLIT_SHARES)))
    raise UserError(
      f"A unit shows {k} photographs, and {min(units.SPLIT_SHARES):.0%} of all "
      f"photographs are for validation: expected at least {needed} readable "
      f"photographs, found {len(found.splits)}. Add more."
    )


def _splits_of_units(number: int) -> list[str]:
  ends = np.round(np.cumsum(units.UNIT_SHARES) * number)
  places = np.searchsorted(ends, np.arange(number), side="right")
  return [SPLITS[place] for place in places]


def _measured_plans(
  found: Survey, table: Sequence[Concept], number: int, k: int, seed: int
) -> list[UnitPlan]:
  owners = np.array([view.photograph for view in found.views], int)
  planner = units.Planner(
    table, found.peaks, owners, [found.splits[owner] for owner in owners.tolist()], k
  )
  return [
    planner.unit(split, np.random.default_rng([seed, 2, unit]))
    for unit, split in enumerate(_splits_of_units(number))
  ]


def _named_plans(planner: NamedPlanner, number: int, seed: int) -> list[NamedPlan]:
  return [
    planner.unit(split, np.random.default_rng([seed, 3, unit]))
    for unit, split in enumerate(_splits_of_units(number))
  ]


def _write_measured(
  photographs: ImageSource,
  plans: Sequence[UnitPlan],
  found: Survey,
  maps: Sequence[measured_maps.UnitMaps],
  writer: RegionSetWriter,
  size: int,
  report: Progress,
) -> None:
  rows: dict[int, int] = {}
  for unit, plan in enumerate(plans):
    for view in plan.views:
      if view not in rows:
        shown = found.views[view]
        pixels = views.seen(photographs.load(shown.photograph), shown, size)
        rows[view] = writer.image(views.view_name(photographs, shown), pixels)
    masks = units.unit_masks(
      maps[unit].astype(np.float32), plan.concepts, area=plan.looks.area, size=size
    )
    writer.add(unit, [rows[view] for view in plan.views], masks)
    report("writing measured units", unit + 1, len(plans))


def _fingerprint(texts: Iterable[str]) -> str:
  return sha256_of(["\n".join(texts)])


def _write_named(
  plans: Sequence[NamedPlan],
  rendered: Mapping[int, tuple[int, Maps]],
  writer: RegionSetWriter,
  first: int,
  size: int,
  report: Progress,
) -> None:
  for unit, plan in enumerate(plans):
    maps = np.stack(
      [
        units.unit_map(
          named_units.mark_map(rendered[mark.scene][1], plan, region),
          plan.looks,
          region,
          shown=plan.groups[region] >= 0,
        )
        for region, mark in enumerate(plan.marks)
      ]
    )
    masks = units.unit_masks(maps, plan.groups, area=plan.looks.area, size=size)
    rows = [rendered[mark.scene][0] for mark in plan.marks]
    writer.add(first + unit, rows, masks)
    report("writing named units", unit + 1, len(plans))


def _manifest(
  photographs: ImageSource,
  found: Survey,
  sources: Sequence[tuple[str, str, str]],
  picture_splits: Mapping[str, str],
  measured: Sequence[UnitPlan],
  named: Sequence[NamedPlan],
) -> dict[str, Any]:
  plans: list[UnitPlan | NamedPlan] = [*measured, *named]
  return {
    "photographs": [
      {
        "name": photographs.name(number),
        "sha256": sha256,
        "split": found.splits[number],
      }
      for number, sha256 in found.digest_of().items()
    ],
    "skipped": [
      {"name": photographs.name(int(number)), "reason": str(reason)}
      for number, reason in zip(found.photographs, found.reasons, strict=True)
      if reason
    ],
    "pictures": [
      {"key": key, "sha256": sha256, "split": picture_splits[group]}
      for key, group, sha256 in sources
    ],
    "units": [
      {
        "concept": plan.name,
        "family": plan.family,
        "grid": plan.looks.grid,
        "split": plan.split,
      }
      for plan in plans
    ],
  }


def _write_tables(
  out_dir: pathlib.Path,
  table: Sequence[Concept],
  measured: Sequence[UnitPlan],
  named: Sequence[NamedPlan],
  manifest: Mapping[str, Any],
) -> None:
  """Writes annotations, splits and truth, then the manifest, which marks completion."""
  plans: list[UnitPlan | NamedPlan] = [*measured, *named]
  write_annotations(
    out_dir / "annotations.csv",
    {
      Unit(LAYER, unit): plan.captions
      for unit, plan in enumerate(plans)
      if plan.name != units.NOTHING
    },
  )
  with (
    atomic.atomic_path(out_dir / SPLIT_TABLE) as staging,
    staging.open("w", encoding="utf-8", newline="") as file,
  ):
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("layer", "unit", "split"))
    writer.writerows((LAYER, unit, plan.split) for unit, plan in enumerate(plans))
  by_name = {concept.name: truth.measured_truth(concept) for concept in table}
  rows = [_measured_entry(unit, plan, by_name) for unit, plan in enumerate(measured)]
  rows += [
    truth.entry(
      len(measured) + unit,
      plan.name,
      lenient=plan.lenient,
      strict=plan.strict,
      references=plan.captions,
      family=plan.family,
    )
    for unit, plan in enumerate(named)
  ]
  atomic.write_json(out_dir / truth.FILE, {"layer": LAYER, "units": rows})
  atomic.write_json(out_dir / MANIFEST, manifest)


def _measured_entry(
  unit: int, plan: UnitPlan, by_name: Mapping[str, tuple[list[str], list[list[str]]]]
) -> dict[str, Any]:
  names = [] if plan.name == units.NOTHING else plan.name.split(" + ")
  found = [by_name[name] for name in names]
  return truth.entry(
    unit,
    plan.name,
    lenient=list(dict.fromkeys(word for lenient, _ in found for word in lenient)),
    strict=[group for _, strict in found for group in strict],
    references=plan.captions,
    family=plan.family,
  )
