"""Builds an annotated region set from photographs, for the starter captioner.

Two passes over the photographs: the first finds how strongly each view shows each
concept, from which the units are drawn; the second makes the maps of the chosen
regions. Neither holds more than a few photographs in memory.
"""

import concurrent.futures
import csv
import hashlib
import json
import os
import pathlib
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from milan_jax.corpus import concepts as concept_table
from milan_jax.corpus import measures, units, views
from milan_jax.corpus.concepts import Concept
from milan_jax.corpus.units import SPLITS, UnitPlan
from milan_jax.corpus.views import View
from milan_jax.errors import UserError
from milan_jax.images.source import ImageSource, UnreadableImageError
from milan_jax.records import Unit
from milan_jax.store import atomic
from milan_jax.store.annotations import write_annotations
from milan_jax.store.region_sets import RegionSetWriter

LAYER = "corpus"
MANIFEST = "manifest.json"
SPLIT_TABLE = "split.csv"
VIEWS_PER_PHOTOGRAPH = 2
# Photographs after which what was found is saved.
CHUNK = 50

# Each unit's maps lie on a grid of its own.
UnitMaps = Float[np.ndarray, "k _ _"]
Progress = Callable[[str, int, int], None]


def build_corpus(
  photographs: ImageSource,
  out_dir: str | os.PathLike[str],
  *,
  num_units: int,
  k: int = 15,
  size: int = measures.SIZE,
  seed: int = 0,
  threads: int = 2,
  progress: Progress | None = None,
) -> dict[str, Any]:
  """Writes an exemplar store with given masks, and what people would say of its units.

  `out_dir` gets the store, `annotations.csv` (`layer,unit,summary`, three rows a unit),
  `split.csv` (`layer,unit,split`) and `manifest.json` (the settings, each photograph's
  name, hash and split, and each unit's concept). Photographs, not units, are split, so
  no unit of one split shares a photograph with a unit of another. The same call gives
  the same bytes; killed and called again, it goes on; when all is there, it does
  nothing.

  Args:
    photographs: the images; each must be a photograph of its own, not a crop.
    out_dir: folder to make.
    num_units: units in all.
    k: regions of a unit.
    size: side of the images and masks, in pixels; the measures need 224.
    seed: of everything that is drawn.
    threads: threads that measure.
    progress: called with the name of the stage, steps done and steps in all.

  Returns:
    The manifest.

  Raises:
    UserError: if there are too few photographs, or `out_dir` holds something else.
  """
  out_dir = pathlib.Path(out_dir)
  if size != measures.SIZE:
    raise UserError(
      f"The corpus is made of images of {measures.SIZE} pixels, not {size}: leave the "
      "size as it is."
    )
  report = progress or (lambda stage, done, total: None)
  table = concept_table.table()
  settings = {
    "num_units": num_units,
    "k": k,
    "size": size,
    "seed": seed,
    "photographs": _fingerprint(
      photographs.name(index) for index in range(len(photographs))
    ),
    "concepts": _fingerprint(
      text for concept in table for text in (concept.name, *concept.phrasings)
    ),
  }
  if (out_dir / MANIFEST).exists():
    manifest = json.loads((out_dir / MANIFEST).read_text(encoding="utf-8"))
    if manifest["settings"] != settings:
      raise UserError(
        f"{out_dir} holds a corpus made with other settings or photographs: remove it, "
        "or choose another folder."
      )
    return manifest
  work = _work_folder(out_dir, settings)
  found = _first_pass(photographs, table, work, seed, threads, report)
  plans = _plans(found, table, settings)
  if not (out_dir / "meta.json").exists():
    maps = _second_pass(photographs, table, plans, found, work, threads, report)
    _write_regions(photographs, plans, found, maps, out_dir, k, size, settings, report)
  manifest = _write_tables(photographs, plans, found, out_dir, settings)
  shutil.rmtree(work)
  return manifest


def _fingerprint(texts: Iterable[str]) -> str:
  return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _work_folder(out_dir: pathlib.Path, settings: Mapping[str, Any]) -> pathlib.Path:
  """The folder for what is unfinished; that of other settings is thrown away."""
  work = out_dir.with_name(f".{out_dir.name}.work")
  marker = work / "settings.json"
  if not marker.exists() or json.loads(marker.read_text()) != settings:
    shutil.rmtree(work, ignore_errors=True)
    atomic.write_json(marker, settings)
  return work


class _Found:
  """What the first pass found: the views that can be read, and their peaks."""

  def __init__(self, chunks: Sequence[Mapping[str, np.ndarray]], seed: int):
    self.photographs = np.concatenate([chunk["photographs"] for chunk in chunks])
    self.digests = np.concatenate([chunk["digests"] for chunk in chunks])
    self.reasons = np.concatenate([chunk["reasons"] for chunk in chunks])
    readable = np.flatnonzero(self.reasons == "")
    # By content, so that two copies of a photograph fall into one split.
    splits = units.split_groups([str(self.digests[row]) for row in readable], seed)
    self.splits = {
      int(self.photographs[row]): splits[str(self.digests[row])] for row in readable
    }
    self.views = [
      view
      for row in readable
      for view in views.views_of(int(self.photographs[row]), VIEWS_PER_PHOTOGRAPH, seed)
    ]
    peaks = np.concatenate([chunk["peaks"] for chunk in chunks])
    self.peaks = np.moveaxis(peaks, 0, -1)


def _first_pass(
  photographs: ImageSource,
  table: Sequence[Concept],
  work: pathlib.Path,
  seed: int,
  threads: int,
  report: Progress,
) -> _Found:
  """Peaks of every concept in every view, saved chunk by chunk."""

  def one(index: int) -> tuple[str, str, Float[np.ndarray, "views grids concepts"]]:
    none = np.zeros((0, len(units.PEAK_GRIDS), len(table)), np.float32)
    try:
      image = photographs.load(index)
    except UnreadableImageError as error:
      return "", str(error) or "unreadable", none
    peaks = [
      _peaks(views.seen(image, view, measures.SIZE), table)
      for view in views.views_of(index, VIEWS_PER_PHOTOGRAPH, seed)
    ]
    return hashlib.sha256(image.tobytes()).hexdigest(), "", np.stack(peaks)

  chunks = []
  total = len(photographs)
  with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    for start in range(0, total, CHUNK):
      path = work / f"peaks-{start:07d}.npz"
      numbers = np.arange(start, min(start + CHUNK, total))
      if not path.exists():
        digests, reasons, peaks = zip(*pool.map(one, numbers.tolist()), strict=True)
        atomic.write_npz(
          path,
          {
            "photographs": numbers,
            "digests": np.array(digests),
            "reasons": np.array(reasons),
            "peaks": np.concatenate(peaks),
          },
        )
      with np.load(path) as saved:
        chunks.append(dict(saved))
      report("measuring photographs", int(numbers[-1]) + 1, total)
  return _Found(chunks, seed)


def _peaks(
  image: np.ndarray, table: Sequence[Concept]
) -> Float[np.ndarray, "grids concepts"]:
  found = measures.measured(image)
  return np.array(
    [
      [units.peak(concept.response(found[grid])) for concept in table]
      for grid in units.PEAK_GRIDS
    ],
    np.float32,
  )


def _plans(
  found: _Found, table: Sequence[Concept], settings: Mapping[str, Any]
) -> list[UnitPlan]:
  owners = np.array([view.photograph for view in found.views], int)
  counts = {split: 0 for split in SPLITS}
  for digest_split in found.splits.values():
    counts[digest_split] += 1
  k, seed = settings["k"], settings["seed"]
  if min(counts.values()) < k:
    needed = int(np.ceil(k / min(units.SPLIT_SHARES)))
    raise UserError(
      f"A unit shows {k} photographs, and a tenth of them is kept for tests: expected "
      f"at least {needed} readable photographs, found {len(found.splits)}. Add some."
    )
  planner = units.Planner(
    table, found.peaks, owners, [found.splits[owner] for owner in owners.tolist()], k
  )
  ends = np.round(np.cumsum(units.SPLIT_SHARES) * settings["num_units"])
  plans = []
  for unit in range(settings["num_units"]):
    split = SPLITS[int(np.searchsorted(ends, unit, side="right"))]
    plans.append(planner.unit(split, np.random.default_rng([seed, 2, unit])))
  return plans


def _second_pass(
  photographs: ImageSource,
  table: Sequence[Concept],
  plans: Sequence[UnitPlan],
  found: _Found,
  work: pathlib.Path,
  threads: int,
  report: Progress,
) -> list[UnitMaps]:
  """The maps of every unit's regions, in a file that is mapped into memory."""
  cells = [len(plan.views) * plan.grid**2 for plan in plans]
  starts = np.concatenate([[0], np.cumsum(cells)])
  path = work / "maps.f16"
  path.unlink(missing_ok=True)
  store = np.memmap(path, np.float16, "w+", shape=(int(starts[-1]),))
  maps = [
    store[start:stop].reshape(len(plan.views), plan.grid, plan.grid)
    for plan, start, stop in zip(plans, starts[:-1], starts[1:], strict=True)
  ]
  regions = defaultdict(list)
  for unit, plan in enumerate(plans):
    for region, view in enumerate(plan.views):
      regions[view].append((unit, region))

  def one(view: int) -> None:
    shown = found.views[view]
    image = photographs.load(shown.photograph)
    grids = measures.measured(views.seen(image, shown, measures.SIZE))
    responses: dict[tuple[int, int], np.ndarray] = {}
    for unit, region in regions[view]:
      plan = plans[unit]
      key = plan.concepts[region], plan.grid
      if key not in responses:
        responses[key] = (
          table[key[0]].response(grids[plan.grid])
          if key[0] >= 0
          else np.zeros((plan.grid, plan.grid), np.float32)
        )
      maps[unit][region] = units.unit_map(responses[key], plan, region)

  with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    for done, _ in enumerate(pool.map(one, sorted(regions)), 1):
      report("making maps", done, len(regions))
  return maps


def _write_regions(
  photographs: ImageSource,
  plans: Sequence[UnitPlan],
  found: _Found,
  maps: Sequence[UnitMaps],
  out_dir: pathlib.Path,
  k: int,
  size: int,
  settings: Mapping[str, Any],
  report: Progress,
) -> None:
  rows: dict[int, int] = {}
  with RegionSetWriter(out_dir, LAYER, k, size, info={"corpus": settings}) as writer:
    for unit, plan in enumerate(plans):
      for view in plan.views:
        if view not in rows:
          shown = found.views[view]
          pixels = views.seen(photographs.load(shown.photograph), shown, size)
          rows[view] = writer.image(_view_name(photographs, shown), pixels)
      masks = units.unit_masks(
        maps[unit].astype(np.float32), plan.concepts, area=plan.area, size=size
      )
      writer.add(unit, [rows[view] for view in plan.views], masks)
      report("writing regions", unit + 1, len(plans))


def _view_name(photographs: ImageSource, view: View) -> str:
  name = photographs.name(view.photograph)
  if view == View(view.photograph):
    return name
  crop = f"{view.left:.3f},{view.top:.3f},{view.side:.3f}"
  return f"{name}@{crop}" + (",mirrored" if view.mirrored else "")


def _write_tables(
  photographs: ImageSource,
  plans: Sequence[UnitPlan],
  found: _Found,
  out_dir: pathlib.Path,
  settings: Mapping[str, Any],
) -> dict[str, Any]:
  """Annotations, splits and, last, the manifest, which says that all is there."""
  write_annotations(
    out_dir / "annotations.csv",
    {Unit(LAYER, unit): plan.captions for unit, plan in enumerate(plans)},
  )
  with (
    atomic.atomic_path(out_dir / SPLIT_TABLE) as aside,
    aside.open("w", encoding="utf-8", newline="") as file,
  ):
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("layer", "unit", "split"))
    writer.writerows((LAYER, unit, plan.split) for unit, plan in enumerate(plans))
  manifest = {
    "settings": dict(settings),
    "photographs": [
      {
        "name": photographs.name(int(number)),
        "sha256": str(digest),
        "split": found.splits[int(number)],
      }
      for number, digest in zip(found.photographs, found.digests, strict=True)
      if int(number) in found.splits
    ],
    "skipped": [
      {"name": photographs.name(int(number)), "reason": str(reason)}
      for number, reason in zip(found.photographs, found.reasons, strict=True)
      if reason
    ],
    "units": [
      {
        "concept": plan.name,
        "family": plan.family,
        "grid": plan.grid,
        "split": plan.split,
        "photographs": sorted({found.views[view].photograph for view in plan.views}),
      }
      for plan in plans
    ],
  }
  atomic.write_json(out_dir / MANIFEST, manifest)
  return manifest
