"""The page's answers: what is shown, formatted; `answers.html.jinja` lays it out."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

import numpy as np
from markupsafe import Markup
from PIL import Image

from milan_jax._src.api.unit_regions import Regions, unit_name
from milan_jax._src.app.workbench import Answer, Found
from milan_jax._src.catalog.regions import tile
from milan_jax._src.decoding.attention import TextAttention
from milan_jax._src.files.names import shown
from milan_jax._src.notebook import confidence_text, picture
from milan_jax._src.records import Description
from milan_jax._src.templates import macros

# Heights of tiles, in pixels: of a region alone, in a row of units, above its weights.
_ALONE, _IN_ROW, _IN_HEAD = 96, 72, 56
# Regions of a unit in a search's row, and of all units below it.
_REGIONS, _BEST = 5, 10


def message(text: str, *, is_error: bool = False) -> Markup:
  """Returns a line for the reader."""
  kind, role = ("error", "alert") if is_error else ("note", "status")
  return _macro("message", shown(text), kind, role)


def answer_html(answer: Answer) -> Markup:
  """Returns a description with its scores, regions and attention."""
  return _macro(
    "answer",
    answer.title,
    _described(answer.description),
    answer.decoding,
    None if answer.earlier is None else _described(answer.earlier),
    None if answer.attention is None else _attention(answer.attention, answer.regions),
  )


def found_html(text: str, found: Sequence[Found]) -> Markup:
  """Returns the units that a text fits best, then the best of their regions."""
  if not found:
    return message("No unit of this run varies, so there is nothing to find.")
  unknown = ", ".join(found[0].match.score.unknown)
  warning = message(f"The captioner does not know: {unknown}.") if unknown else ""
  rows = [_row(each) for each in found]
  return _macro("found", text, warning, rows, _best_regions(found))


def _row(found: Found) -> Mapping[str, Any]:
  match = found.match
  order = np.argsort(-np.nan_to_num(match.region_pmis, nan=-np.inf), kind="stable")
  tiles = [
    _tile(found.regions, slot, _region_name(found, slot), _IN_ROW)
    for slot in order[:_REGIONS].tolist()
    if found.regions is not None and _is_shown(found, slot)
  ]
  return {
    "name": shown(unit_name(match.unit)),
    "pmi": _decimal(match.pmi),
    "log_prob": _decimal(match.score.log_prob),
    "text": _text(found.description),
    "tiles": tiles,
  }


def _best_regions(found: Sequence[Found]) -> list[Mapping[str, Any]]:
  """The regions of all units found that the text fits best, each alone."""
  ranked = sorted(
    (-float(value), place, slot)
    for place, each in enumerate(found)
    for slot, value in enumerate(each.match.region_pmis.tolist())
    if _is_shown(each, slot)
  )
  figures: list[Mapping[str, Any]] = []
  for value, place, slot in ranked[:_BEST]:
    regions, name = found[place].regions, _region_name(found[place], slot)
    assert regions is not None
    drawn = _tile(regions, slot, name, _ALONE)
    figures.append({"tile": drawn, "label": f"{name}: {_decimal(-value)}"})
  return figures


def _is_shown(found: Found, slot: int) -> bool:
  """Whether a region has a score, and its picture is at hand."""
  if found.regions is None or slot >= len(found.regions[0]):
    return False
  return bool(np.isfinite(found.match.region_pmis[slot]))


def _region_name(found: Found, slot: int) -> str:
  return f"{shown(unit_name(found.match.unit))}, region {slot + 1}"


def _text(entry: Description) -> str:
  if entry.dead:
    return "Never varies"
  mark = "off: " if entry.unit.sign == "off" else ""
  guess = f" (best guess: “{entry.guess}”)" if entry.guess else ""
  return f"{mark}{entry.text}{guess}"


def _described(entry: Description) -> Mapping[str, Any]:
  prior = entry.lm_log_prob
  values = {
    "log p(text | regions)": entry.log_prob,
    "log p(text)": prior,
    "PMI": None if prior is None else entry.log_prob - prior,
    "score": entry.score,
  }
  return {
    "text": _text(entry),
    "confidence": "" if entry.dead else confidence_text(entry.confidence),
    "scores": [
      (name, _decimal(value)) for name, value in values.items() if value is not None
    ],
  }


def _attention(attention: TextAttention, regions: Regions | None) -> Mapping[str, Any]:
  heads: list[str] = []
  for slot in range(attention.weights.shape[1]):
    label = f"Region {slot + 1}"
    if regions is not None and slot < len(regions[0]):
      heads.append(_tile(regions, slot, label, _IN_HEAD))
    else:
      heads.append(label)
  prior = attention.lm_log_probs
  highest = max(float(attention.weights.max()), 1e-6)
  rows = [
    {
      "word": word,
      "log_prob": _decimal(attention.log_probs[place]),
      "pmi": ""
      if prior is None
      else _decimal(attention.log_probs[place] - prior[place], sign="+"),
      "weights": [
        (f"{weight / highest:.3f}", f"{weight:.0%}")
        for weight in attention.weights[place].tolist()
      ],
    }
    for place, word in enumerate(attention.words)
  ]
  return {"heads": heads, "rows": rows}


def _decimal(value: SupportsFloat, *, sign: str = "") -> str:
  """Two decimals; no minus before a zero."""
  rounded = round(float(value), 2) + 0.0
  return f"{rounded:{sign}.2f}".replace("-", "\N{MINUS SIGN}")


def _tile(
  regions: Regions,
  slot: int,
  label: str,
  size: int,
) -> Markup:
  images, masks = regions
  buffer = io.BytesIO()
  Image.fromarray(tile(images[slot], masks[slot], size)).save(buffer, "PNG")
  return picture(buffer.getvalue(), label, size)


def _macro(name: str, *values: object) -> Markup:
  found: Markup = getattr(macros("app", "answers.html.jinja"), name)(*values)
  return found
