"""A catalog in the form of Neuronpedia's import, with an extension for images.

```
MODEL/SOURCE/model.jsonl release.jsonl sourceset.jsonl source.jsonl
MODEL/SOURCE/{features,activations,explanations}/batch-0.jsonl.gz
MODEL/SOURCE/images/INDEX-POSITION.webp INDEX-POSITION.mask.png
```

Source: https://github.com/hijohnnylin/neuronpedia, below `apps/webapp`. The keys are in
`prisma/schema.prisma`; `app/api/admin/import/route.ts` reads them. A row is inserted as
it is, so it needs what the schema requires (an identifier, a creator), and may not name
what the database lacks (a type of explanations).
"""

import gzip
import io
import json
import math
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from milan_jax._src.catalog.page import Network, PageUnit
from milan_jax._src.catalog.pictures import QUALITY
from milan_jax._src.files.atomic import write_bytes, write_text
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.files.staging import staged_folder

# The name of our sets of sources on Neuronpedia.
SOURCE_SET = "milan"
# The user that owns what is imported: "bot", which every Neuronpedia has.
CREATOR = "clkht01d40000jv08hvalcvly"
_LONGEST_ID = 25

Row = dict[str, Any]


def write_neuronpedia(folder: str, networks: Sequence[Network]) -> None:
  """Writes networks in the form of Neuronpedia's import, with images.

  A layer is a source. Units that are "off" are in a source of their own, whose name
  ends with `-off`. Withheld descriptions are not explanations; dead units have none.

  Args:
    folder: the folder to write; it must not exist.
    networks: the networks, whose units are read again.

  Raises:
    UserError: if the folder exists.
  """
  with staged_folder(folder) as staging:
    for network, model in zip(networks, _identifiers(networks), strict=True):
      sources: dict[tuple[str, str], list[PageUnit]] = {}
      for shown in network.units:
        sources.setdefault((shown.unit.layer, shown.unit.sign), []).append(shown)
      for (layer, sign), units in sources.items():
        source = f"{list(network.layers).index(layer)}-{SOURCE_SET}"
        source += "-off" if sign == "off" else ""
        _write_source(staging / model / source, network, model, source, units)


def _write_source(
  folder: pathlib.Path,
  network: Network,
  model: str,
  source: str,
  units: Sequence[PageUnit],
) -> None:
  for name, head in _heads(network, model, source, units[0].unit.layer).items():
    write_text(folder / f"{name}.jsonl", _line(head))
  features, activations, explanations = [], [], []
  captioner = network.info.facts.get("Captioner", "")
  for shown in units:
    ours = {"modelId": model, "layer": source, "index": str(shown.unit.index)}
    features.append(ours | _feature(shown))
    activations += [_named(ours | row) for row in _activations(folder, shown)]
    if shown.kind == "said" and shown.description:
      explanations.append(_named(ours | _explanation(shown, captioner)))
  for name, rows in (
    ("features", features),
    ("activations", activations),
    ("explanations", explanations),
  ):
    if rows:  # an import stops at a file without any
      # Without a time stamp: the same catalog gives the same bytes.
      lines = gzip.compress("".join(map(_line, rows)).encode(), mtime=0)
      write_bytes(folder / name / "batch-0.jsonl.gz", lines)


def _heads(network: Network, model: str, source: str, layer: str) -> Mapping[str, Row]:
  """Returns the rows that describe a source and what it belongs to."""
  info, release = network.info, f"{model}-{SOURCE_SET}"
  ours = {"creatorId": CREATOR, "visibility": "PUBLIC"}
  return {
    "model": {
      "id": model,
      "displayName": info.architecture,
      "displayNameShort": info.architecture,
      "layers": len(network.layers),
      "neuronsPerLayer": 0,
      "owner": "unknown",
      **ours,
    },
    "release": {
      "name": release,
      "description": info.title,
      "creatorName": "milan-jax",
      **ours,
    },
    "sourceset": {
      "modelId": model,
      "name": SOURCE_SET,
      "description": info.title,
      "type": "neurons",
      "releaseName": release,
      "creatorName": "milan-jax",
      **ours,
    },
    "source": {
      "id": source,
      "modelId": model,
      "setName": SOURCE_SET,
      "dataset": info.dataset,
      "notes": layer,
      **ours,
    },
  }


def _feature(shown: PageUnit) -> Row:
  fires, known = shown.fires, shown.distribution
  row: Row = {
    "creatorId": CREATOR,
    "sourceSetName": SOURCE_SET,
    "hookName": shown.unit.layer,
    "maxActApprox": max(map(_finite, shown.activations), default=0.0),
    "frac_nonzero": fires[0] / fires[1] if fires and fires[1] else 0.0,
    "freq_hist_data_bar_heights": [],
    "freq_hist_data_bar_values": [],
  }
  if known is not None and not shown.dead:
    bins = known.values.trimmed()
    row["freq_hist_data_bar_heights"] = [float(count) for count in bins.counts]
    row["freq_hist_data_bar_values"] = [
      bins.start + (place + 0.5) * bins.width for place in range(len(bins.counts))
    ]
  return row


def _explanation(shown: PageUnit, captioner: str) -> Row:
  said = [f"captioner {captioner}"] if captioner else []
  if shown.confidence is not None:
    said.append(f"confidence {shown.confidence:.4f}")
  said += [
    f"{name} {value:.4f}"
    for name, value in shown.scores.items()
    if value is not None and math.isfinite(value)
  ]
  return {
    "authorId": CREATOR,
    "description": shown.description,
    "notes": "milan-jax" + "".join(f"; {each}" for each in said),
  }


def _activations(folder: pathlib.Path, shown: PageUnit) -> list[Row]:
  """Writes a unit's images and masks; returns its activations."""
  rows = []
  images, masks = shown.regions()
  for position, (image, mask) in enumerate(zip(images, masks, strict=True)):
    name = f"images/{shown.unit.index}-{position}"
    whole = _encoded(Image.fromarray(image), "WEBP", quality=QUALITY)
    write_bytes(folder / f"{name}.webp", whole)
    bits = Image.fromarray(mask.astype(np.uint8) * 255).convert("1")
    region = _encoded(bits, "PNG", optimize=True)
    write_bytes(folder / f"{name}.mask.png", region)
    known = position < len(shown.activations)
    value = _finite(shown.activations[position]) if known else 0.0
    rows.append(
      {
        "creatorId": CREATOR,
        "tokens": [],
        "values": [],
        "maxValue": value,
        "minValue": 0.0,
        "maxValueTokenIndex": 0,
        "image": {
          "file": f"{name}.webp",
          "mask": f"{name}.mask.png",
          "name": shown.names[position] if shown.names else "",
          "width": image.shape[1],
          "height": image.shape[0],
        },
      }
    )
  return rows


def _named(row: Row) -> Row:
  """Returns a row with an identifier of its content: the same row has the same."""
  return {"id": f"milan{sha256_of([_line(row)])}"[:_LONGEST_ID], **row}


def _finite(value: float) -> float:
  # Of a dead unit it may be NaN or infinite, which JSON lacks.
  return value if math.isfinite(value) else 0.0


def _identifiers(networks: Sequence[Network]) -> list[str]:
  """Returns an identifier for each network; those of the same are numbered from 2."""
  found: list[str] = []
  plain = [_identifier(each.key or each.info.architecture) for each in networks]
  for name in plain:
    own, number = name, 1
    while own in found or (number > 1 and own in plain):
      number += 1
      own = f"{name}-{number}"
    found.append(own)
  return found


def _identifier(name: str) -> str:
  return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-") or "model"


def _encoded(image: Image.Image, form: str, **how: int) -> bytes:
  buffer = io.BytesIO()
  image.save(buffer, form, **how)
  return buffer.getvalue()


def _line(value: Any) -> str:
  return json.dumps(value, allow_nan=False) + "\n"
