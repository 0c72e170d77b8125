"""The network to describe and the images to show it, from what the user wrote."""

import dataclasses
import pathlib

from milan_jax.errors import UserError
from milan_jax.images.arrays import open_array_images
from milan_jax.images.demo import DemoImages
from milan_jax.images.folder import FolderImages
from milan_jax.images.geometry import Geometry
from milan_jax.images.source import ImageSource
from milan_jax.models.backbones import backbone, params_from_state_dict
from milan_jax.models.backbones.registry import TORCHVISION, Preprocessing
from milan_jax.probe.flax_backbone import FlaxProbe
from milan_jax.probe.protocol import Probe
from milan_jax.probe.selection import describe_layers
from milan_jax.store.packaged_weights import packaged_weights
from milan_jax.store.torch_files import read_state_dict


@dataclasses.dataclass(frozen=True)
class Network:
  """A network that can be probed.

  Attributes:
    probe: reads its activations.
    geometry: how its images are resized and cropped.
    default_layers: layers to describe when none are named; empty if unknown.
  """

  probe: Probe
  geometry: Geometry
  default_layers: tuple[str, ...]


def open_network(model: str, weights: str) -> Network:
  """Finds a network by name.

  Args:
    model: a backbone's name, or `package.module:name` of a torch module or of a
      function that returns one.
    weights: path of a state dict; empty for those that come with the network.

  Raises:
    UserError: no such network, or the weights do not fit it.
  """
  if ":" in model:
    return _torch_network(model, weights)
  network = backbone(model)
  path = pathlib.Path(weights) if weights else packaged_weights(model)
  params = params_from_state_dict(model, read_state_dict(path))
  return Network(
    FlaxProbe(network, params),
    _geometry(network.preprocessing),
    network.default_layers,
  )


def open_images(images: str, geometry: Geometry) -> ImageSource:
  """Finds images: a folder, an array file, or the packaged photographs.

  Args:
    images: path of a folder or of a `.npy` or `.npz` file; empty for the packaged ones.
    geometry: how the network wants them.
  """
  if not images:
    return DemoImages(geometry)
  if images.endswith((".npy", ".npz")):
    return open_array_images(images, geometry)
  return FolderImages(images, geometry)


def list_layers(model: str, weights: str) -> str:
  """Returns a table of a network's layers: name, places and number of units."""
  return describe_layers(open_network(model, weights).probe.layers())


def _geometry(preprocessing: Preprocessing) -> Geometry:
  return Geometry(preprocessing.resize, preprocessing.crop, preprocessing.interpolation)


def _torch_network(model: str, weights: str) -> Network:
  """Imports a torch module; its images are prepared as ImageNet's networks want."""
  try:
    from milan_jax.probe.torch_module import TorchProbe
    from milan_jax.probe.torch_named import torch_module
  except ImportError as error:
    raise UserError(
      f"--model={model} names a torch module, and torch is not installed: "
      "pip install 'milan-jax[torch]'."
    ) from error
  module = torch_module(model, read_state_dict(weights) if weights else None)
  return Network(TorchProbe(module, TORCHVISION.crop), _geometry(TORCHVISION), ())
