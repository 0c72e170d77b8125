"""The page's answers as HTML; all text is escaped, pictures are part of it."""

import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from milan_jax._src.api.unit_regions import unit_name
from milan_jax._src.app.workbench import Answer, Found
from milan_jax._src.catalog.regions import tile
from milan_jax._src.decoding.attention import TextAttention
from milan_jax._src.files.names import shown
from milan_jax._src.notebook import Markup, cell, escaped, percent, picture
from milan_jax._src.records import Description

_TILE = 96
_REGIONS = 5
# Regions of all units that are shown below a search.
_BEST = 10


def message(text: str, *, is_error: bool = False) -> Markup:
  """Returns a line for the reader."""
  kind, role = ("error", "alert") if is_error else ("note", "status")
  return Markup(f'<p class="milan-{kind}" role="{role}">{escaped(shown(text))}</p>')


def answer_html(answer: Answer) -> Markup:
  """Returns a description with its scores, regions and attention."""
  parts = [
    f"<h3>{escaped(answer.title)}</h3>",
    _description(answer.description),
    f'<p class="milan-how">{escaped(answer.decoding)}</p>',
    _scores(answer.description),
  ]
  if answer.earlier is not None:
    parts += ["<h4>In the run</h4>", _description(answer.earlier)]
    parts.append(_scores(answer.earlier))
  if answer.attention is not None:
    parts.append(_attention(answer.attention, answer.regions))
  return Markup(f'<div class="milan-answer">{"".join(parts)}</div>')


def found_html(text: str, found: Sequence[Found]) -> Markup:
  """Returns the units that a text fits best, then the best of their regions."""
  if not found:
    return message("No unit of this run varies, so there is nothing to find.")
  unknown = found[0].match.score.unknown
  parts = [f"<h3>Units that “{escaped(text)}” fits best</h3>"]
  if unknown:
    words = ", ".join(unknown)
    parts.append(message(f"The captioner does not know: {words}."))
  head = "".join(
    f'<th scope="col">{name}</th>'
    for name in ("unit", "PMI", "log p(text | regions)", "described as", "best regions")
  )
  rows = "".join(_row(each) for each in found)
  parts.append(
    f'<div class="milan-wide"><table><thead><tr>{head}</tr></thead>'
    f"<tbody>{rows}</tbody></table></div>"
    '<p class="milan-how">PMI: log p(text | regions) - log p(text), in nats, by the '
    "captioner that described the run.</p>"
  )
  parts.append(_best_regions(found))
  return Markup(f'<div class="milan-answer">{"".join(parts)}</div>')


def _row(found: Found) -> str:
  match = found.match
  name = shown(unit_name(match.unit))
  order = np.argsort(-np.nan_to_num(match.region_pmis, nan=-np.inf), kind="stable")
  tiles = ""
  if found.regions is not None:
    images, masks = found.regions
    tiles = "".join(
      _tile(images[slot], masks[slot], f"{name}, region {slot + 1}", 72)
      for slot in order[:_REGIONS].tolist()
      if slot < len(images) and np.isfinite(match.region_pmis[slot])
    )
  return (
    f'<tr><th scope="row">{escaped(name)}</th><td>{match.pmi:.2f}</td>'
    f"<td>{match.score.log_prob:.2f}</td><td>{cell(_text(found.description))}</td>"
    f'<td class="milan-tiles">{tiles}</td></tr>'
  )


def _best_regions(found: Sequence[Found]) -> str:
  """The regions of all units found that the text fits best, each alone."""
  ranked = sorted(
    (
      (-float(value), place, slot)
      for place, each in enumerate(found)
      for slot, value in enumerate(each.match.region_pmis.tolist())
      if np.isfinite(value) and each.regions is not None and slot < len(each.regions[0])
    )
  )
  figures = []
  for value, place, slot in ranked[:_BEST]:
    each = found[place]
    assert each.regions is not None
    images, masks = each.regions
    name = shown(unit_name(each.match.unit))
    drawn = _tile(images[slot], masks[slot], f"{name}, region {slot + 1}")
    label = f"{name}, region {slot + 1}: {-value:.2f}"
    figures.append(f"<figure>{drawn}<figcaption>{escaped(label)}</figcaption></figure>")
  if not figures:
    return ""
  return f"<h4>Regions that it fits best alone</h4><div>{''.join(figures)}</div>"


def _text(entry: Description) -> str:
  if entry.dead:
    return "Never varies"
  mark = "off: " if entry.unit.sign == "off" else ""
  guess = f" (best guess: “{entry.guess}”)" if entry.guess else ""
  return f"{mark}{entry.text}{guess}"


def _description(entry: Description) -> str:
  sure = ""
  if entry.confidence is not None and not entry.dead:
    sure = f'<span class="milan-how">confidence {percent(entry.confidence)}</span>'
  return f'<p class="milan-text">{cell(_text(entry))} {sure}</p>'


def _scores(entry: Description) -> str:
  prior = entry.lm_log_prob
  values = {
    "log p(text | regions)": entry.log_prob,
    "log p(text)": prior,
    "PMI": None if prior is None else entry.log_prob - prior,
    "score": entry.score,
  }
  cells = "".join(
    f"<div><dt>{name}</dt><dd>{value:.2f}</dd></div>"
    for name, value in values.items()
    if value is not None
  )
  return f'<dl class="milan-scores">{cells}</dl>'


def _attention(
  attention: TextAttention,
  regions: tuple[
    UInt8[np.ndarray, "k height width 3"], Bool[np.ndarray, "k height width"]
  ]
  | None,
) -> str:
  k = attention.weights.shape[1]
  heads: list[str] = []
  for slot in range(k):
    label = f"Region {slot + 1}"
    if regions is not None and slot < len(regions[0]):
      heads.append(_tile(regions[0][slot], regions[1][slot], label, 64))
    else:
      heads.append(escaped(label))
  columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
  rows = []
  prior = attention.lm_log_probs
  highest = max(float(attention.weights.max()), 1e-6)
  for place, word in enumerate(attention.words):
    pmi = "" if prior is None else f"{attention.log_probs[place] - prior[place]:+.2f}"
    weights = "".join(
      f'<td class="milan-weight" style="--weight:{weight / highest:.3f}">'
      f"{weight:.0%}</td>"
      for weight in attention.weights[place].tolist()
    )
    rows.append(
      f'<tr><th scope="row">{escaped(word)}</th>'
      f"<td>{attention.log_probs[place]:.2f}</td><td>{pmi}</td>{weights}</tr>"
    )
  return (
    "<h4>Attention over the regions, word by word</h4>"
    '<div class="milan-wide"><table><thead><tr><th scope="col">word</th>'
    '<th scope="col">log p</th><th scope="col">PMI</th>'
    f"{columns}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
  )


def _tile(
  image: UInt8[np.ndarray, "height width 3"],
  mask: Bool[np.ndarray, "height width"],
  label: str,
  size: int = _TILE,
) -> Markup:
  buffer = io.BytesIO()
  Image.fromarray(tile(image, mask, size)).save(buffer, "PNG")
  return picture(buffer.getvalue(), label, size)
