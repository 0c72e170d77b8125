"""A catalog in the forms of other programs: the original's, and Neuronpedia's import.

The original's form:

```
json/NETWORK/data.json    name, architecture, dataset, layers, units
images/NETWORK/LAYER_UNIT_POSITION.png
```

Neuronpedia's import, with an extension for images:

```
MODEL/SOURCE/model.jsonl release.jsonl sourceset.jsonl source.jsonl
MODEL/SOURCE/{features,activations,explanations}/batch-0.jsonl.gz
MODEL/SOURCE/images/INDEX-POSITION.webp INDEX-POSITION.mask.png
```
"""

import gzip
import io
import json
import math
import pathlib
import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from milan_jax._src.catalog.page import Network, PageUnit
from milan_jax._src.catalog.pictures import QUALITY, folder_name
from milan_jax._src.catalog.regions import render_region
from milan_jax._src.files.atomic import write_bytes, write_text
from milan_jax._src.files.staging import staged_folder

# The name of our sets of sources on Neuronpedia.
SOURCE_SET = "milan"


def write_original_catalog(
  folder: str, networks: Sequence[Network], *, base_url: str
) -> None:
  """Writes networks in the original catalog's form: a picture for each region.

  Units that are "off" have their sign in addition, and `-off` in their pictures' names.

  Args:
    folder: the folder to write; it must not exist.
    networks: the networks, whose units are read again.
    base_url: address of the folder `images`, before `/NETWORK/FILE`.

  Raises:
    UserError: if the folder exists.
  """
  with staged_folder(folder) as staging:
    for network in networks:
      key = network.key or "network"
      units: list[dict[str, Any]] = []
      for shown in network.units:
        off = "-off" if shown.unit.sign == "off" else ""
        name = f"{folder_name(shown.unit.layer)}_{shown.unit.index}{off}"
        images, masks = shown.regions()
        files = [f"{name}_{position}.png" for position in range(len(images))]
        for file, image, mask in zip(files, images, masks, strict=True):
          place = staging / "images" / key / file
          write_bytes(place, _picture(render_region(image, mask), "PNG"))
        units.append(
          {
            "layer": shown.unit.layer,
            "unit": shown.unit.index,
            "images": [
              f"{base_url.rstrip('/')}/{urllib.parse.quote(f'{key}/{file}')}"
              for file in files
            ],
            "description": shown.description,
            **({"sign": "off"} if off else {}),
          }
        )
      data = {
        "name": network.info.title,
        "architecture": network.info.architecture,
        "dataset": network.info.dataset,
        "layers": list(network.layers),
        "units": units,
      }
      write_text(staging / "json" / key / "data.json", _line(data))


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
  info, ours = network.info, {"modelId": model, "layer": source}
  creator = {"creatorName": "milan-jax"}
  heads: Mapping[str, dict[str, Any]] = {
    "model": {
      "id": model,
      "displayName": info.architecture,
      "displayNameShort": info.architecture,
      "layers": len(network.layers),
      "neuronsPerLayer": 0,
      "owner": "",
    },
    "release": {"name": f"{model}-{SOURCE_SET}", "description": info.title, **creator},
    "sourceset": {
      "modelId": model,
      "name": SOURCE_SET,
      "description": info.title,
      "type": "neurons",
      "releaseName": f"{model}-{SOURCE_SET}",
      **creator,
    },
    "source": {
      "id": source,
      "modelId": model,
      "setName": SOURCE_SET,
      "dataset": info.dataset,
      "notes": units[0].unit.layer,
    },
  }
  for name, head in heads.items():
    write_text(folder / f"{name}.jsonl", _line(head))
  features, activations, explanations = [], [], []
  for shown in units:
    index = str(shown.unit.index)
    fires = shown.fires
    features.append(
      {
        **ours,
        "index": index,
        "sourceSetName": SOURCE_SET,
        "hookName": shown.unit.layer,
        "maxActApprox": max(map(_finite, shown.activations), default=0.0),
        "frac_nonzero": fires[0] / fires[1] if fires and fires[1] else 0.0,
      }
    )
    activations += _activations(folder, shown, ours | {"index": index})
    if shown.kind == "said" and shown.description:
      explanations.append(
        {
          **ours,
          "index": index,
          "description": shown.description,
          "typeName": "milan",
          "explanationModelName": info.facts.get("Captioner", ""),
        }
      )
  for name, rows in (
    ("features", features),
    ("activations", activations),
    ("explanations", explanations),
  ):
    write_bytes(folder / name / "batch-0.jsonl.gz", _packed(map(_line, rows)))


def _activations(
  folder: pathlib.Path, shown: PageUnit, ours: Mapping[str, str]
) -> list[dict[str, Any]]:
  """Writes a unit's images and masks; returns its activations."""
  rows = []
  images, masks = shown.regions()
  for position, (image, mask) in enumerate(zip(images, masks, strict=True)):
    name = f"images/{shown.unit.index}-{position}"
    write_bytes(folder / f"{name}.webp", _picture(image, "WEBP", quality=QUALITY))
    bits = Image.fromarray(mask.astype(np.uint8) * 255).convert("1")
    buffer = io.BytesIO()
    bits.save(buffer, "PNG", optimize=True)
    write_bytes(folder / f"{name}.mask.png", buffer.getvalue())
    known = position < len(shown.activations)
    value = _finite(shown.activations[position]) if known else 0.0
    rows.append(
      {
        **ours,
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


def _picture(pixels: np.ndarray, form: str, **how: int) -> bytes:
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, form, **how)
  return buffer.getvalue()


def _packed(lines: Iterable[str]) -> bytes:
  # Without a time stamp: the same catalog gives the same bytes.
  return gzip.compress("".join(lines).encode(), mtime=0)


def _line(value: Any) -> str:
  return json.dumps(value, allow_nan=False) + "\n"
