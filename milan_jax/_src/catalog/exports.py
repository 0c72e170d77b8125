"""A catalog in the original's form.

```
json/NETWORK/data.json    name, architecture, dataset, layers, units
images/NETWORK/LAYER_UNIT_POSITION.png
```
"""

import io
import json
import urllib.parse
from collections.abc import Sequence
from typing import Any

from PIL import Image

from milan_jax._src.catalog.page import Network
from milan_jax._src.catalog.pictures import folder_name
from milan_jax._src.catalog.regions import render_region
from milan_jax._src.files.atomic import write_bytes, write_text
from milan_jax._src.files.staging import staged_folder


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
          buffer = io.BytesIO()
          Image.fromarray(render_region(image, mask)).save(buffer, "PNG")
          write_bytes(place, buffer.getvalue())
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
      line = json.dumps(data, allow_nan=False) + "\n"
      write_text(staging / "json" / key / "data.json", line)
