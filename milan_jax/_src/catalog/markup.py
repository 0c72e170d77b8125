"""The page's HTML: one file that includes its style and script."""

import dataclasses
import html
import importlib.resources
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
  """One unit's card.

  Attributes:
    layer: name of its layer.
    unit: its index in the layer.
    sign: "off" if what lowers it is shown, otherwise "on".
    description: its description.
    scores: additional columns; None is shown as n/a.
    dead: whether the unit never varies.
    confidence: the probability that the description fits; None if unknown.
    guess: the description withheld for low confidence; empty if none was.
    fires: number of images on which it fires and of all images; None if unknown.
    photographs: number of photographs in its regions; None if no image is a crop.
    picture: path of its picture, relative to the page's folder.
    size: width and height of the picture, in pixels, to reserve its space on loading.
  """

  layer: str
  unit: int
  sign: str
  description: str
  scores: Mapping[str, float | None]
  dead: bool
  confidence: float | None
  guess: str
  picture: str
  size: tuple[int, int]
  fires: tuple[int, int] | None = None
  photographs: int | None = None

  @property
  def kind(self) -> str:
    """Whether a description is `said` or `withheld`, or the unit is `dead`."""
    return "dead" if self.dead else "withheld" if self.guess else "said"


def page(
  title: str,
  facts: Mapping[str, str],
  notes: Sequence[str],
  entries: Mapping[str, Sequence[Entry]],
) -> str:
  """Returns the whole page; all text is escaped."""
  shown = {layer: cards for layer, cards in entries.items() if cards}
  anchors = {layer: f"layer-{number}" for number, layer in enumerate(shown)}
  options = "\n".join(
    f'<option value="{anchors[layer]}">{html.escape(layer)}</option>' for layer in shown
  )
  sections = "\n".join(
    _section(layer, anchors[layer], cards) for layer, cards in shown.items()
  )
  name = html.escape(title)
  return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title>
<style>
{_asset("page.css")}</style>
</head>
<body>
<header>
<h1>{name}</h1>
<dl class="facts">
{_pairs(facts)}
</dl>
<div class="notes">
{_paragraphs(notes)}
</div>
<nav aria-label="Layers">
{_overview(shown, anchors)}
</nav>
</header>
<form class="tools" role="search" onsubmit="return false" hidden>
<input type="search" placeholder="Search descriptions" aria-label="Search descriptions">
<select aria-label="Layer">
<option value="">All layers</option>
{options}
</select>
<output aria-live="polite"></output>
</form>
<main>
{sections}
</main>
<footer>Regions: what a unit responds to most strongly, best first, in reading order.
Outside a region the image is dimmed. A unit marked “off” is shown by the regions that
lower it most.</footer>
<script>
{_asset("page.js")}</script>
</body>
</html>
"""


# Columns of the overview, and which entries each counts.
_COUNTED: Mapping[str, Callable[[Entry], bool]] = {
  "units": lambda entry: True,
  "described": lambda entry: entry.kind == "said",
  "of these off": lambda entry: entry.kind == "said" and entry.sign == "off",
  "withheld": lambda entry: entry.kind == "withheld",
  "dead": lambda entry: entry.kind == "dead",
}


def _overview(layers: Mapping[str, Sequence[Entry]], anchors: Mapping[str, str]) -> str:
  """A table of the layers: how many units are described, withheld and dead."""
  rows = [
    (f'<a href="#{anchors[layer]}">{html.escape(layer)}</a>', entries)
    for layer, entries in layers.items()
  ]
  if len(rows) > 1:
    rows.append(("all", [entry for entries in layers.values() for entry in entries]))
  body = "\n".join(
    f'<tr><th scope="row">{name}</th>'
    + "".join(
      f"<td>{sum(map(is_counted, entries)):,}</td>" for is_counted in _COUNTED.values()
    )
    + "</tr>"
    for name, entries in rows
  )
  head = "".join(f'<th scope="col">{name}</th>' for name in ("layer", *_COUNTED))
  return (
    f'<table class="overview"><thead><tr>{head}</tr></thead>\n'
    f"<tbody>\n{body}\n</tbody></table>"
  )


def _asset(name: str) -> str:
  folder = importlib.resources.files("milan_jax._src.catalog")
  return folder.joinpath(name).read_text(encoding="utf-8")


def _pairs(values: Mapping[str, str]) -> str:
  return "\n".join(
    f"<div><dt>{html.escape(name)}</dt><dd>{_prose(value)}</dd></div>"
    for name, value in values.items()
  )


def _prose(text: str) -> str:
  """Escapes text and formats the parts between backticks as code."""
  return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _paragraphs(notes: Sequence[str]) -> str:
  return "\n".join(f"<p>{_prose(note)}</p>" for note in notes)


def _section(layer: str, anchor: str, entries: Sequence[Entry]) -> str:
  cards = "\n".join(_card(entry) for entry in entries)
  number = f"{len(entries)} unit{'s' if len(entries) != 1 else ''}"
  return (
    f'<section id="{anchor}" aria-labelledby="{anchor}-name">\n'
    f'<h2 id="{anchor}-name">{html.escape(layer)}<small>{number}</small></h2>\n'
    f'<div class="cards">\n{cards}\n</div>\n</section>'
  )


def _card(entry: Entry) -> str:
  where = f"{entry.layer}, unit {entry.unit}"
  is_off = entry.sign == "off"
  said = "Never varies" if entry.dead else entry.description
  mark = '<span class="sign">off:</span> ' if is_off and not entry.dead else ""
  # The picture's folder is the quoted layer name, so its % signs must be quoted again.
  link = html.escape(urllib.parse.quote(entry.picture))
  answer = "is lowered by most" if is_off else "responds to most"
  alt = html.escape(f"The regions that {where} {answer}")
  width, height = entry.size
  scores = {
    name: "n/a" if value is None else f"{value:.2f}"
    for name, value in entry.scores.items()
  }
  return (
    f'<article class="card"><a href="{link}"><img src="{link}" alt="{alt}" '
    f'width="{width}" height="{height}" loading="lazy" decoding="async"></a>'
    f"<div><h3>{html.escape(where)}</h3>"
    f'<p class="{entry.kind}">{mark}{html.escape(said)}</p>'
    f"{_confidence(entry)}{_fires(entry)}"
    f'<dl class="scores">{_pairs(scores)}</dl></div></article>'
  )


def _fires(entry: Entry) -> str:
  """On how many images it fires, if not on all, and from how many photographs."""
  if entry.dead:
    return ""
  facts = []
  if entry.fires is not None and entry.fires[0] != entry.fires[1]:
    facts.append(f"fires on {entry.fires[0]:,} of {entry.fires[1]:,} images")
  if entry.photographs is not None:
    plural = "s" if entry.photographs != 1 else ""
    facts.append(f"seen on {entry.photographs} photograph{plural}")
  return f'<p class="fires">{", ".join(facts)}</p>' if facts else ""


# Descriptions with a lower confidence are marked.
LOW = 0.5


def _confidence(entry: Entry) -> str:
  """Formats the confidence and the withheld guess."""
  if entry.confidence is None or entry.dead:
    return ""
  text = f"confidence {entry.confidence:.0%}"
  if entry.guess:
    text = f"best guess: “{entry.guess}”, {entry.confidence:.0%}"
  low = " low" if entry.confidence < LOW else ""
  return (
    f'<p class="sure{low}"><meter min="0" max="1" low="{LOW}" optimum="1" '
    f'value="{entry.confidence:.3f}"></meter> {html.escape(text)}</p>'
  )
