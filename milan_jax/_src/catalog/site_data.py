"""The data of a site, in files that a page loads from disk.

A page that is opened from disk may not read files, but it may run scripts. So each file
of data is a script that calls one function with one JSON value:

```
meta.js       milan.meta(...)           networks, layers, how many units
units-N.js    milan.units(N, ...)       columns of some thousand units, and their texts
words.js      milan.words(...)          the index of words
near-N.js     milan.near(N, ...)        the nearest units by their regions
vectors-N.js  milan.vectors(N, ...)     what some thousand texts mean
L-C.js        milan.details(L, C, ...)  what only the pages of some units show
```

Units are numbered in the order of layers (L). Texts are numbered in the order in which
units use them.
"""

import json
import math
import pathlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from milan_jax._src.catalog.columns import column, encoded
from milan_jax._src.catalog.meaning import meanings
from milan_jax._src.catalog.nearest import Projection, nearest_rows
from milan_jax._src.catalog.pictures import (
  RANGE,
  SHEET,
  folder_name,
  heat_maps,
  num_tiles,
)
from milan_jax._src.catalog.regions import GAP, SAMPLE_TILE, TILE
from milan_jax._src.catalog.word_index import word_index
from milan_jax._src.catalog.word_kinds import KINDS, kinds_of, names_of

if TYPE_CHECKING:
  from milan_jax._src.catalog.page import Network, PageUnit

# Units in a file of columns, and in a file of details.
UNITS = 4096
DETAILS = 64
# Neighbors of a unit that are stored.
NEAREST = 8
OFF, DEAD, WITHHELD = 1, 2, 4


class _Layer:
  """What is known of one layer.

  Attributes:
    number: its place in the site.
    network: the number of its network.
    name: its name.
    rows: the columns of its units.
    table: the entries of its units in `catalog.json`, as JSON.
    details: those of the units that are not written yet.
    counts: how many units there are of each sort.
    kinds: how many of the described units have each kind of word.
  """

  def __init__(self, number: int, network: int, name: str):
    self.number, self.network, self.name = number, network, name
    self.rows: list[dict[str, Any]] = []
    self.table: list[str] = []
    self.details: list[dict[str, Any]] = []
    self.counts = dict.fromkeys(("units", "described", "off", "withheld", "dead"), 0)
    self.kinds = dict.fromkeys(KINDS, 0)


class SiteData:
  """Collects the units of a site, and writes its data.

  Args:
    folder: where to write; it must not exist.
    title: the heading of the site.
  """

  def __init__(self, folder: pathlib.Path, title: str):
    self._folder = folder
    self._title = title
    folder.mkdir(parents=True)
    self._networks: list["Network"] = []
    self._layers: list[_Layer] = []
    self._by_name: dict[str, _Layer] = {}
    self._texts: dict[str, int] = {}
    self._scores: list[str] = []
    self._project = Projection()
    self._num_rows = 0  # of tiles, at most

  def begin(self, network: "Network") -> None:
    """Begins a network: the units that are added next are of its layers."""
    number = len(self._networks)
    self._networks.append(network)
    self._by_name = {}
    for name in network.layers:
      layer = _Layer(len(self._layers), number, name)
      self._layers.append(layer)
      self._by_name[name] = layer

  def add(self, shown: "PageUnit", sheet: str, size: tuple[int, int]) -> None:
    """Adds a unit; writes its details when enough have come together.

    Args:
      shown: the unit.
      sheet: path of its sheet of images, relative to the page's folder.
      size: width and height of the sheet, in pixels.
    """
    layer = self._by_name[shown.unit.layer]
    scores = {name: _finite(value) for name, value in shown.scores.items()}
    self._scores += [name for name in scores if name not in self._scores]
    text = "" if shown.dead else shown.guess or shown.description
    known = self._numbers([text])
    others = self._numbers([*shown.annotations, *shown.others.values()])
    off = shown.unit.sign == "off"
    features = None if shown.features is None else self._project(shown.features())
    maxima = [value for value in map(_finite, shown.activations) if value is not None]
    layer.rows.append(
      {
        "unit": shown.unit.index,
        "flags": OFF * off + DEAD * shown.dead + WITHHELD * (shown.kind == "withheld"),
        "text": known[0],
        "others": others,
        "confidence": None if shown.dead else _finite(shown.confidence),
        "scores": scores,
        "maximum": max(maxima, default=None),
        "fires": None if shown.dead or not shown.fires else shown.fires[0],
        "images": None if shown.dead or not shown.fires else shown.fires[1],
        "photographs": None if shown.dead else shown.photographs,
        "tiles": num_tiles(size),
        "features": features,
      }
    )
    self._num_rows = max(self._num_rows, (size[1] + GAP) // (TILE + GAP))
    layer.table.append(_json(_entry(shown, sheet, scores)))
    _count(layer, shown, off)
    layer.details.append(_details(shown))
    if len(layer.details) == DETAILS:
      self._write_details(layer)

  def _numbers(self, texts: Iterable[str]) -> list[int]:
    return [self._texts.setdefault(text, len(self._texts)) for text in texts]

  def _write_details(self, layer: _Layer) -> None:
    if layer.details:
      chunk = (len(layer.rows) - 1) // DETAILS
      name = f"{layer.number}-{chunk}.js"
      self._write(name, "details", layer.number, chunk, layer.details)
      layer.details = []

  def finish(self) -> dict[str, Any]:
    """Writes what is left; returns the site's facts, for the page."""
    for layer in self._layers:
      self._write_details(layer)
    rows = [(layer.number, row) for layer in self._layers for row in layer.rows]
    texts = list(self._texts)
    ranks = _ranks(texts)
    has_near = self._write_near(rows)
    written = 0
    for number, first in enumerate(range(0, len(rows), UNITS)):
      some = rows[first : first + UNITS]
      highest = [max([row["text"], *row["others"]]) for _, row in some]
      upto = max(written, 1 + max(highest))
      self._write(
        f"units-{number}.js",
        "units",
        number,
        self._columns(first, some)
        | {
          "first_text": written,
          "texts": texts[written:upto],
          "kinds": column(map(kinds_of, texts[written:upto]), "u2"),
          "ranks": column(ranks[written:upto], "u4"),
        },
      )
      written = upto
    self._write("words.js", "words", word_index(texts))
    width = self._write_vectors(texts)
    facts = self._facts(len(rows), len(texts), has_near, width)
    self._write("meta.js", "meta", facts)
    return facts

  def _columns(
    self, first: int, rows: list[tuple[int, dict[str, Any]]]
  ) -> dict[str, Any]:
    kinds = {"unit": "u4", "flags": "u1", "text": "u4", "confidence": "f4"}
    kinds |= {"maximum": "f4", "fires": "i4", "images": "i4", "photographs": "i4"}
    kinds |= {"tiles": "u1"}
    found: dict[str, Any] = {
      name: column((row[name] for _, row in rows), kind) for name, kind in kinds.items()
    }
    found["layer"] = column((layer for layer, _ in rows), "u2")
    found["scores"] = [
      column((row["scores"].get(name) for _, row in rows), "f4")
      for name in self._scores
    ]
    found["others"] = {
      first + place: row["others"]
      for place, (_, row) in enumerate(rows)
      if row["others"]
    }
    return found

  def _write_near(self, rows: list[tuple[int, dict[str, Any]]]) -> bool:
    """Writes the nearest units by regions, of each network; whether any is known."""
    if not any(row["features"] is not None for _, row in rows):
      return False
    width = next(len(f) for _, row in rows if (f := row["features"]) is not None)
    none = np.zeros(width, np.float32)
    places = np.full((len(rows), NEAREST), -1, np.int64)
    cosines = np.zeros((len(rows), NEAREST), np.float32)
    network_of = np.array([self._layers[layer].network for layer, _ in rows])
    for network in range(len(self._networks)):
      inside = np.flatnonzero(network_of == network)
      vectors = [
        none if (found := rows[place][1]["features"]) is None else found
        for place in inside.tolist()
      ]
      if not vectors:
        continue
      near, like = nearest_rows(np.stack(vectors), NEAREST)
      places[inside] = np.where(near >= 0, inside[near], -1)
      cosines[inside] = like
    for number, first in enumerate(range(0, len(rows), UNITS)):
      some = slice(first, first + UNITS)
      self._write(
        f"near-{number}.js",
        "near",
        number,
        {
          "units": column(places[some].ravel().tolist(), "i4"),
          "cosines": column(cosines[some].ravel().tolist(), "f4"),
        },
      )
    return True

  def _write_vectors(self, texts: list[str]) -> int:
    """Writes what the texts mean; returns the vectors' width, 0 if not known."""
    vectors = meanings(texts)
    if vectors is None:
      return 0
    for number, first in enumerate(range(0, len(texts), UNITS)):
      some = vectors[first : first + UNITS]
      self._write(f"vectors-{number}.js", "vectors", number, encoded(some.tobytes()))
    return int(vectors.shape[1])

  def _facts(
    self, units: int, texts: int, has_near: bool, width: int
  ) -> dict[str, Any]:
    first = 0
    layers = []
    for layer in self._layers:
      layers.append(
        {
          "network": layer.network,
          "name": layer.name,
          "folder": folder_name(layer.name),
          "first": first,
          "counts": layer.counts,
          "kinds": layer.kinds,
        }
      )
      first += len(layer.rows)
    return {
      "title": self._title,
      "units": units,
      "texts": texts,
      "units_per_file": UNITS,
      "details_per_file": DETAILS,
      "nearest": NEAREST if has_near else 0,
      "vector_width": width,
      "scores": self._scores,
      "kinds": list(KINDS),
      "tile": TILE,
      "sample_tile": SAMPLE_TILE,
      "gap": GAP,
      "rows": self._num_rows,
      "layers": layers,
      "networks": [
        {
          "key": network.key,
          "title": network.info.title,
          "name": network.info.architecture,
          "dataset": network.info.dataset,
          "facts": dict(network.info.facts),
          "notes": list(network.info.notes),
        }
        for network in self._networks
      ],
    }

  def table(self) -> str:
    """Returns `catalog.json`, which other programs read."""
    names = [network.info for network in self._networks]
    head = {
      "name": self._title,
      "architecture": ", ".join(dict.fromkeys(info.architecture for info in names)),
      "dataset": ", ".join(dict.fromkeys(info.dataset for info in names)),
      "layers": list(dict.fromkeys(layer.name for layer in self._layers)),
    }
    several = len(self._networks) > 1
    lines = [
      _json({"network": self._networks[layer.network].key})[:-1] + ", " + entry[1:]
      if several
      else entry
      for layer in self._layers
      for entry in layer.table
    ]
    return _json(head)[:-1] + ', "units": [\n' + ",\n".join(lines) + "\n]}\n"

  def _write(self, name: str, function: str, *arguments: Any) -> None:
    values = ",".join(
      json.dumps(value, separators=(",", ":"), allow_nan=False) for value in arguments
    )
    (self._folder / name).write_text(f"milan.{function}({values});\n", encoding="ascii")


def _entry(
  shown: "PageUnit", sheet: str, scores: Mapping[str, float | None]
) -> dict[str, Any]:
  """Returns a unit's entry in `catalog.json`."""
  fires = shown.fires
  counts = {} if fires is None else {"fires": fires[0], "num_images": fires[1]}
  known: dict[str, Any] = {}
  if shown.photographs is not None:
    known["photographs"] = shown.photographs
  if shown.distribution is not None and not shown.dead:
    known["samples"] = f"{sheet.removesuffix(SHEET)}{RANGE}{SHEET}"
  return {
    "layer": shown.unit.layer,
    "unit": shown.unit.index,
    "sign": shown.unit.sign,
    "images": [sheet],
    "description": shown.description,
    "dead": shown.dead,
    "confidence": _finite(shown.confidence),
    "guess": shown.guess,
    **counts,
    **known,
    **scores,
  }


def _count(layer: _Layer, shown: "PageUnit", off: bool) -> None:
  layer.counts["units"] += 1
  if shown.kind == "said" and not shown.description:
    return
  sort = {"said": "described"}.get(shown.kind, shown.kind)
  layer.counts[sort] += 1
  if shown.kind == "said":
    layer.counts["off"] += off
    for kind in names_of(kinds_of(shown.description)):
      layer.kinds[kind] += 1


def _details(shown: "PageUnit") -> dict[str, Any]:
  """Returns what only the unit's own page shows."""
  found: dict[str, Any] = {"description": shown.description}
  if shown.activations:
    found["activations"] = [_rounded(value) for value in shown.activations]
  if shown.threshold is not None:
    found["threshold"] = _rounded(shown.threshold, 9)  # among bins: all of float32
  if shown.distribution is not None and not shown.dead:
    found["distribution"] = shown.distribution.details()
  if shown.names:
    found["names"] = list(shown.names)
  maps = None if shown.maps is None or shown.dead else shown.maps()
  if maps is not None:
    maps = heat_maps(maps)
    found["maps"] = {"shape": list(maps.shape[1:]), "values": encoded(maps.tobytes())}
    if shown.image_shape is not None and len(set(shown.image_shape)) > 1:
      found["maps"]["image"] = list(shown.image_shape)
  if shown.annotations:
    found["annotations"] = list(shown.annotations)
  if shown.others:
    found["others"] = dict(shown.others)
  if shown.hypotheses:
    found["hypotheses"] = [
      [one.text, *map(_rounded, (one.score, one.log_prob, one.lm_log_prob))]
      for one in shown.hypotheses
    ]
  return found


def _ranks(texts: list[str]) -> list[int]:
  """Returns the place of each text in alphabetical order; an empty text is last."""
  order = sorted(
    range(len(texts)), key=lambda place: (not texts[place], texts[place].casefold())
  )
  ranks = [0] * len(texts)
  for rank, place in enumerate(order):
    ranks[place] = rank
  return ranks


def _rounded(value: float | None, digits: int = 5) -> float | None:
  value = _finite(value)
  return None if value is None else float(f"{value:.{digits}g}")


def _finite(value: float | None) -> float | None:
  return None if value is None or not math.isfinite(value) else float(value)


def _json(value: Any) -> str:
  # Names of files may have bytes that are not UTF-8.
  text = json.dumps(value, ensure_ascii=False, allow_nan=False)
  return text.encode("utf-8", "replace").decode("utf-8")
