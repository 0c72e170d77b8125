"""What objects of several packages look like in a notebook; see `notebook.as_html`."""

from markupsafe import Markup

from milan_jax._src.api.unit_regions import regions_of, unit_name
from milan_jax._src.catalog.strip import row
from milan_jax._src.decoding.attention import TextAttention
from milan_jax._src.files.names import shown
from milan_jax._src.notebook import (
  as_html,
  confidence_text,
  fields_table,
  pairs,
  picture,
  table,
)
from milan_jax._src.probe.model_options import Network
from milan_jax._src.records import Description, Descriptions, ExemplarSet, Unit
from milan_jax._src.store.chosen_exemplars import ChosenExemplars
from milan_jax._src.store.exemplar_records import RecordedExemplars
from milan_jax._src.store.exemplar_store import StoredExemplars
from milan_jax._src.store.feature_store import FeatureStore
from milan_jax._src.store.given_regions import GivenRegions
from milan_jax._src.store.joined_exemplars import JoinedExemplars
from milan_jax._src.store.original_layout import OriginalExemplars

# Rows and regions that are shown; a notebook keeps all of them in its file.
_ROWS = 20
_REGIONS = 5
_TILE = 72


@as_html.register(Descriptions)
def _descriptions(value: Descriptions) -> Markup:
  rows = (
    (
      entry.unit.layer,
      f"{entry.unit.index}" + (" (off)" if entry.unit.sign == "off" else ""),
      "Never varies" if entry.dead else entry.text,
      "" if entry.dead else entry.guess,
      "" if entry.dead else confidence_text(entry.confidence),
      *([] if value.exemplars is None else [_row(value.exemplars, entry.unit)]),
    )
    for entry in value[:_ROWS]
  )
  columns = ["layer", "unit", "description", "best guess", "confidence"]
  columns += [] if value.exemplars is None else ["best regions"]
  return table(
    f"{len(value):,} descriptions", columns, rows, note=_left_out(len(value), "units")
  )


@as_html.register
def _description(value: Description) -> Markup:
  if value.dead:  # its text and scores mean nothing
    return pairs("Description", {"unit": value.unit, "text": "Never varies"})
  return fields_table(value, confidence=confidence_text(value.confidence))


@as_html.register(StoredExemplars)
@as_html.register(ChosenExemplars)
@as_html.register(JoinedExemplars)
@as_html.register(OriginalExemplars)
@as_html.register(GivenRegions)
@as_html.register(RecordedExemplars)
def _exemplars(value: ExemplarSet) -> Markup:
  rows, total = [], 0
  for layer in value.layers:
    found = value.exemplars(layer)
    units, k = found.image_ids.shape
    total += 1
    if total <= _ROWS:
      of_first: tuple[str, Markup | str] = "", ""
      if units:
        first = found.signed_units()[0]
        of_first = unit_name(first).rpartition("/")[2], _row(value, first)
      rows.append((layer, f"{units:,}", k, *of_first))
  return table(
    f"Exemplars on {value.num_images:,} images",
    ("layer", "units", "per unit", "first unit", "its best regions"),
    rows,
    note=_left_out(total, "layers"),
  )


@as_html.register
def _features(value: FeatureStore) -> Markup:
  return pairs(
    "Features",
    {
      "units": f"{len(value):,}",
      "regions of each": value.k,
      "features of a region": f"{value.feature_size:,}",
      "layers": ", ".join(map(shown, value.layers)),
    },
  )


@as_html.register
def _attention(value: TextAttention) -> Markup:
  k = value.weights.shape[1]
  prior = value.lm_log_probs
  rows = (
    (
      word,
      f"{value.log_probs[place]:.2f}",
      "" if prior is None else f"{prior[place]:.2f}",
      *(f"{weight:.0%}" for weight in value.weights[place]),
    )
    for place, word in enumerate(value.words)
  )
  columns = ("word", "log p(word | regions)", "log p(word)")
  numbers = (f"region {number + 1}" for number in range(k))
  return table(value.text, (*columns, *numbers), rows)


@as_html.register
def _network(value: Network) -> Markup:
  layers = value.probe.layers()
  default = set(value.default_layers)
  rows = (
    (
      layer.name,
      f"{layer.units:,}",
      f"{layer.height} x {layer.width}",
      layer.layout,
      "yes" if layer.name in default else "",
    )
    for layer in layers[:_ROWS]
  )
  return table(
    f"Network with {len(layers):,} layers",
    ("layer", "units", "positions", "layout", "described by default"),
    rows,
    note=_left_out(len(layers), "layers"),
  )


def _row(found: ExemplarSet, unit: Unit) -> Markup:
  images, masks = regions_of(found, unit)
  drawn = row(images[:_REGIONS], masks[:_REGIONS], _TILE)
  return picture(drawn, f"The best regions of {unit_name(unit)}")


def _left_out(total: int, things: str) -> str:
  return f"{total - _ROWS:,} more {things}" if total > _ROWS else ""
