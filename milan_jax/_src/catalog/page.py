"""Writes the static page with every unit's regions and description."""

import dataclasses
import json
import math
import os
import pathlib
import shutil
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from milan_jax._src.catalog import markup, regions
from milan_jax._src.catalog.signatures import is_signed, signed
from milan_jax._src.errors import UserError
from milan_jax._src.records import Unit

PAGE = "index.html"
DATA = "catalog.json"
IMAGES = "images"
_SOURCE = "source.txt"

Regions = tuple[
  UInt8[np.ndarray, "k height width 3"], Bool[np.ndarray, "k height width"]
]


@dataclasses.dataclass(frozen=True, slots=True)
class PageUnit:
  """One unit on the page.

  Attributes:
    unit: the unit.
    description: its description; not shown for a dead unit.
    scores: columns, such as `{"score": -3.2}`; None and NaN are shown as n/a.
    regions: returns its images and masks, best first; called only if the picture does
      not exist yet, so that writing a page again is fast.
    dead: whether the unit never varies.
    confidence: the probability that the description fits; None if unknown.
    guess: the description withheld for low confidence; empty if none was.
    fires: on how many of how many images the unit fires; None if that is not known.
    photographs: how many distinct photographs its regions are from, where images are
      crops of photographs; otherwise None.
  """

  unit: Unit
  description: str
  regions: Callable[[], Regions]
  scores: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
  dead: bool = False
  confidence: float | None = None
  guess: str = ""
  fires: tuple[int, int] | None = None
  photographs: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class PageInfo:
  """The head of the page.

  Attributes:
    title: the heading.
    architecture: the network's name.
    dataset: name of the images.
    facts: short lines, name and value: network, photographs, captioner, time, ...
    notes: paragraphs, such as a hint to use more photographs; text between backticks is
      formatted as code.
  """

  title: str
  architecture: str
  dataset: str
  facts: Mapping[str, str] = dataclasses.field(default_factory=dict)
  notes: Sequence[str] = ()


def write_page(
  folder: str | os.PathLike[str],
  units: Iterable[PageUnit],
  *,
  info: PageInfo,
  layers: Sequence[str],
  source: str,
) -> pathlib.Path:
  """Writes `index.html`, `catalog.json` and one picture per unit.

  Existing pictures are kept, so a killed run resumes. A picture that is damaged or
  belongs to another unit is drawn again. The page and the data are replaced atomically
  at the end. Only one unit's regions are in memory at a time.

  Args:
    folder: the folder to write; created if missing, other files in it are kept.
    units: the units; within a layer they are shown in this order.
    info: the head of the page.
    layers: all layers, in the order in which they are shown.
    source: identifies the regions, such as a digest of their inputs; pictures in
      `folder` with another source are drawn again.

  Returns:
    The path of the page.

  Raises:
    UserError: if a unit's layer is not in `layers`, a unit is listed twice, or the
      folder has a page or pictures that milan-jax did not write.
  """
  folder = pathlib.Path(folder)
  _check_ours(folder)
  _discard_stale(folder / IMAGES, source)
  entries: dict[str, list[markup.Entry]] = {layer: [] for layer in layers}
  seen: set[Unit] = set()
  for shown in units:
    layer, index = shown.unit.layer, shown.unit.index
    if layer not in entries:
      raise UserError(
        f"Unit {index} is of layer {layer!r}, but the page shows the layers "
        f"{', '.join(layers)}: add that layer."
      )
    if shown.unit in seen:
      raise UserError(f"Unit {index} of layer {layer!r} is listed twice: list it once.")
    seen.add(shown.unit)
    entries[layer].append(_entry(folder, shown))
  table = {
    "name": info.title,
    "architecture": info.architecture,
    "dataset": info.dataset,
    "layers": list(layers),
    "units": [_row(entry) for layer in layers for entry in entries[layer]],
  }
  text = json.dumps(table, ensure_ascii=False, indent=1, allow_nan=False)
  _write(folder / DATA, (text + "\n").encode())
  page = markup.page(info.title, info.facts, info.notes, entries)
  _write(folder / PAGE, page.encode())
  return folder / PAGE


def _entry(folder: pathlib.Path, shown: PageUnit) -> markup.Entry:
  """Returns a unit's entry on the page; draws its picture unless it exists."""
  layer, index = shown.unit.layer, shown.unit.index
  name = f"{index}-off" if shown.unit.sign == "off" else f"{index}"
  picture = folder / IMAGES / urllib.parse.quote(layer, safe="") / f"{name}.jpg"
  data = _kept(picture, f"{layer}:{name}")
  if data is None:
    data = signed(regions.sprite(*shown.regions()), f"{layer}:{name}")
    _write(picture, data)
  return markup.Entry(
    layer=layer,
    unit=index,
    sign=shown.unit.sign,
    description=shown.description,
    scores={name: _finite(value) for name, value in shown.scores.items()},
    dead=shown.dead,
    confidence=_finite(shown.confidence),
    guess=shown.guess,
    fires=shown.fires,
    photographs=shown.photographs,
    picture=picture.relative_to(folder).as_posix(),
    size=regions.picture_size(data),
  )


def _row(entry: markup.Entry) -> dict[str, Any]:
  """Returns a unit's entry in `catalog.json`."""
  return {
    "layer": entry.layer,
    "unit": entry.unit,
    "sign": entry.sign,
    "images": [entry.picture],
    "description": entry.description,
    "dead": entry.dead,
    "confidence": entry.confidence,
    "guess": entry.guess,
    **_counts(entry.fires),
    **({} if entry.photographs is None else {"photographs": entry.photographs}),
    **entry.scores,
  }


def _counts(fires: tuple[int, int] | None) -> dict[str, int]:
  return {} if fires is None else {"fires": fires[0], "num_images": fires[1]}


def page_is_whole(folder: str | os.PathLike[str]) -> bool:
  """Returns whether a folder has a page, its data and all of its pictures."""
  folder = pathlib.Path(folder)
  try:
    data = json.loads((folder / DATA).read_text(encoding="utf-8"))
    pictures = [picture for unit in data["units"] for picture in unit["images"]]
  except (OSError, ValueError, KeyError, TypeError):
    return False
  return all((folder / name).is_file() for name in (PAGE, *pictures))


def _finite(value: float | None) -> float | None:
  return None if value is None or not math.isfinite(value) else float(value)


def _check_ours(folder: pathlib.Path) -> None:
  """Raises UserError if the page would replace files that milan-jax did not write."""
  images = folder / IMAGES
  if (images / _SOURCE).is_file():
    return
  # Staging files, which a killed run may leave before it writes its mark, are hidden.
  inside = images.iterdir() if images.is_dir() else ()
  foreign = [path for path in inside if not path.name.startswith(".")]
  foreign += [path for name in (PAGE, DATA) if (path := folder / name).exists()]
  if foreign:
    raise UserError(
      f"{foreign[0]} was not written by milan-jax, and a page would replace it: choose "
      "another folder."
    )


def _discard_stale(images: pathlib.Path, source: str) -> None:
  """Deletes the pictures of other regions."""
  marker = images / _SOURCE
  if not marker.is_file() or marker.read_bytes() != source.encode():
    if images.is_dir():
      shutil.rmtree(images, ignore_errors=True)
    _write(marker, source.encode())


def _kept(picture: pathlib.Path, unit: str) -> bytes | None:
  """Returns the bytes of a unit's picture; None if it must be drawn."""
  try:
    data = picture.read_bytes()
  except FileNotFoundError:
    return None
  except OSError as error:
    raise UserError(
      f"{picture} cannot be read ({error.strerror}): remove it and run the command "
      "again."
    ) from error
  return data if is_signed(data, unit) else None


def _write(path: pathlib.Path, data: bytes) -> None:
  """Writes to a staging file, then renames it atomically."""
  path.parent.mkdir(parents=True, exist_ok=True)
  staging = path.with_name(f".{path.name}.partial")
  staging.write_bytes(data)
  staging.replace(path)
