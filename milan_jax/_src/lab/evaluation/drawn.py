"""Random hidden units of EfficientNet-Lite0, to be judged by eye.

`python -m milan_jax._src.lab.evaluation.drawn --images FOLDER --workdir DIR` describes
them and writes a page for each layer. docs/starter.md lists the judgments.
"""

import argparse
import pathlib

import numpy as np

from milan_jax._src.api.captioners import load
from milan_jax._src.lab.evaluation.described import describe_shown
from milan_jax._src.models.backbones import backbone
from milan_jax._src.records import Unit

NETWORK = "efficientnet-lite0"
LAYERS = (
  *("bn0", "blocks.2.bn1", "blocks.5.bn1"),
  *("blocks.8.bn1", "blocks.10.bn1", "blocks.15.bn1"),
)
SEED, NUMBER = 2022, 10


def drawn_units(
  layers: tuple[str, ...] = LAYERS, *, number: int = NUMBER, seed: int = SEED
) -> list[Unit]:
  """Draws distinct units of each layer, sorted."""
  sizes = backbone(NETWORK).shapes(layers, 224)
  return [
    Unit(layer, int(index))
    for place, layer in enumerate(layers)
    for index in sorted(
      np.random.default_rng([seed, place]).choice(
        sizes[layer][-1], number, replace=False
      )
    )
  ]


def describe_drawn(images: str, workdir: str, *, milan: str = "starter") -> None:
  """Describes the drawn units and writes a page for each layer.

  Args:
    images: a folder of photographs.
    workdir: folder with one run directory per layer.
    milan: the name or path of the captioner.
  """
  units, captioner = drawn_units(), load(milan)
  for layer in LAYERS:
    describe_shown(
      pathlib.Path(workdir) / layer,
      captioner,
      page=True,
      images=images,
      layers=layer,
      units=",".join(str(unit.index) for unit in units if unit.layer == layer),
    )


if __name__ == "__main__":
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--images", required=True)
  parser.add_argument("--workdir", default="runs/drawn")
  parser.add_argument("--milan", default="starter")
  found = parser.parse_args()
  describe_drawn(found.images, found.workdir, milan=found.milan)
