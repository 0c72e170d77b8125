"""The backbones by name, with their preprocessing, layers and default layers."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Array, Float, Key, UInt8

from milan_jax._src.errors import UserError, did_you_mean
from milan_jax._src.images.preprocessing import (
  EFFICIENTNET_LITE,
  TORCHVISION,
  Preprocessing,
)
from milan_jax._src.images.sizes import Size, sides
from milan_jax._src.models import lowering
from milan_jax._src.models.backbones import vgg
from milan_jax._src.models.backbones.alexnet import AlexNet
from milan_jax._src.models.backbones.efficientnet_lite import EfficientNetLite
from milan_jax._src.models.backbones.resnet import BasicBlock, Bottleneck, ResNet

Params = Mapping[str, Any]
Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Backbone:
  """A vision network whose activations can be read by layer name.

  Attributes:
    name: name of the backbone in options and files.
    module: the network; `module.apply({"params": params}, images)` returns its logits.
    preprocessing: how to prepare its images.
    logits: name of the layer that returns the logits, the last one of the classifier.
    default_layers: layers whose units are described by default, in execution order.
  """

  name: str
  module: nn.Module
  preprocessing: Preprocessing
  logits: str
  default_layers: tuple[str, ...]

  @property
  def layer_names(self) -> tuple[str, ...]:
    """Names of all layers, in execution order."""
    return tuple(_trace(self.module, self.preprocessing.crop)[0])

  @property
  def head(self) -> str:
    """Name of the classifier, which may be missing in the parameters."""
    return self.logits.split(".")[0]

  def fitted(self, params: Params) -> "Backbone":
    """Returns the backbone with the classifier in `params`, or without one."""
    module = self.module.clone(num_classes=self._num_classes(params))
    return dataclasses.replace(self, module=module)

  def init(self, key: Key[Array, ""]) -> Params:
    """Returns random parameters: He normal kernels and identity batch norms."""
    params = _constants(self.module, self.preprocessing.crop)
    return _with_random_kernels(params, key)

  def normalize(
    self, images: UInt8[Array | np.ndarray, "batch height width 3"]
  ) -> Float[Array, "batch height width 3"]:
    """Scales pixel values as the network expects; image sizes stay the same."""
    return self.preprocessing.normalize(images)

  def apply(
    self,
    params: Params,
    images: Float[Array | np.ndarray, "batch height width 3"],
    layers: Sequence[str],
  ) -> dict[str, Array]:
    """Returns the activations of some layers.

    The computation is compiled once per set of layers and shape of images. It ends at
    the deepest of the layers.

    Args:
      params: from `init` or `params_from_state_dict`; the classifier may be missing, or
        have any number of classes.
      images: from `normalize`, of any size that the network accepts.
      layers: names from `layer_names`.

    Returns:
      An array for each layer, of shape `(batch, height, width, units)`, or
      `(batch, units)` in a classifier.

    Raises:
      UserError: if a layer is unknown or its parameters are missing, or if the images
        are too small for the network.
    """
    self._check_layers(layers)
    num_classes = self._num_classes(params)
    headless = [name for name in layers if name.split(".")[0] == self.head]
    if num_classes is None and headless:
      raise UserError(
        f"Layer {headless[0]!r} belongs to {self.name}'s classifier, which these "
        "weights lack: choose earlier layers, or weights with a classifier."
      )
    module = self.module.clone(num_classes=num_classes)
    found: dict[str, Array] = _activations(
      module,
      params,
      images,
      tuple(layers),
      lowering.current_lowering(),
      lowering.current_rounding(),
    )
    return found

  def shapes(self, layers: Sequence[str], image_size: Size) -> dict[str, Shape]:
    """Returns the shape of each layer's activations of one image; computes nothing.

    Returns:
      A shape for each layer: `(height, width, units)`, or `(units,)` in a classifier.

    Raises:
      UserError: if a layer is unknown, or the images are too small for the network.
    """
    self._check_layers(layers)
    shapes, _ = _trace(self.module, image_size)
    return {layer: shapes[layer] for layer in layers}

  def _num_classes(self, params: Params) -> int | None:
    node: Any = params
    for part in self.logits.split("."):
      if part not in node:
        return None
      node = node[part]
    return int(node["bias"].shape[0])

  def _check_layers(self, layers: Iterable[str]) -> None:
    for layer in layers:
      if layer not in self.layer_names:
        hint = did_you_mean(layer, self.layer_names)
        raise UserError(f"{self.name} has no layer {layer!r}.{hint}")


def backbone(name: str) -> Backbone:
  """Returns the backbone of a name.

  Raises:
    UserError: if the name is unknown.

  Example:
    >>> resnet = milan_jax.backbone("resnet18")
    >>> params = resnet.init(jax.random.key(0))
    >>> batch = resnet.normalize(np.zeros((1, 64, 64, 3), np.uint8))
    >>> resnet.apply(params, batch, ("layer1",))["layer1"].shape
    (1, 16, 16, 64)
  """
  if name not in _BACKBONES:
    hint = did_you_mean(str(name), _BACKBONES)
    known = ", ".join(_BACKBONES)
    raise UserError(f"There is no backbone {name!r}.{hint} Expected one of {known}.")
  return _BACKBONES[name]


def backbone_names() -> tuple[str, ...]:
  """Returns the names of all backbones.

  Example:
    >>> milan_jax.backbone_names()[:2]
    ('efficientnet-lite0', 'efficientnet-lite1')
  """
  return tuple(_BACKBONES)


def parameter_shapes(module: nn.Module, image_size: Size) -> dict[str, Any]:
  """Returns the tree of a network's parameters as `jax.ShapeDtypeStruct`s."""
  shapes: dict[str, Any] = _trace(module, image_size)[1]
  return shapes


@functools.cache
def _trace(module: nn.Module, image_size: Size) -> tuple[dict[str, Shape], Any]:
  """Returns the shapes of all layers, in execution order, and of the parameters."""
  order: dict[str, None] = {}

  def note(part: nn.Module, method: str) -> bool:
    if method != "__call__" or not part.path:
      return False
    order.pop(".".join(part.path), None)  # the last call of a part counts
    order[".".join(part.path)] = None
    return True

  def run(key: Array) -> Any:
    images = jnp.zeros((1, *sides(image_size), 3))
    with lowering.use_lowering("plain"):  # same shapes, faster to trace
      return module.init_with_output(key, images, capture_intermediates=note)

  _, variables = jax.eval_shape(run, jax.random.key(0))
  captured = variables["intermediates"]
  shapes = {name: _captured(captured, name).shape[1:] for name in order}
  return shapes, variables["params"]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _constants(module: nn.Module, image_size: Size) -> Params:
  """Returns the initial parameters, with zeros for kernels."""
  images = jnp.zeros((1, *sides(image_size), 3))
  with lowering.use_lowering("plain"):  # the activations are never computed
    params: Params = module.init(jax.random.key(0), images)["params"]
    return params


def _with_random_kernels(params: Params, key: Array) -> Params:
  """Draws all kernels in one call: one call per kernel takes a minute to compile."""
  leaves = traverse_util.flatten_dict(params)
  kernels = {path: leaf for path, leaf in leaves.items() if path[-1] == "kernel"}
  noise = jax.random.normal(key, (sum(leaf.size for leaf in kernels.values()),))
  start = 0
  for path, leaf in kernels.items():
    fan_in = leaf.size // leaf.shape[-1]
    draws = noise[start : start + leaf.size].reshape(leaf.shape)
    leaves[path] = draws * (2 / fan_in) ** 0.5
    start += leaf.size
  drawn: Params = traverse_util.unflatten_dict(leaves)
  return drawn


@functools.partial(jax.jit, static_argnums=(0, 3, 4, 5))
def _activations(
  module: nn.Module,
  params: Params,
  images: Array,
  layers: tuple[str, ...],
  how: lowering.Lowering,
  rounding: lowering.Rounding,
) -> dict[str, Array]:
  def wanted(part: nn.Module, method: str) -> bool:
    return method == "__call__" and ".".join(part.path) in layers

  # A CPU compiles all parts in seconds, and needs no copy of their parameters.
  loops = lowering.use_loops(layers) if how != "cpu" else contextlib.nullcontext()
  with lowering.use_lowering(how), lowering.use_rounding(rounding), loops:
    _, variables = module.apply(
      {"params": params},
      images,
      capture_intermediates=wanted,
      mutable=["intermediates"],
    )
  captured = variables.get("intermediates", {})
  return {layer: _captured(captured, layer) for layer in layers}


def _captured(captured: Any, layer: str) -> Any:
  """Returns a layer's output in its last call."""
  for part in layer.split("."):
    captured = captured[part]
  return captured["__call__"][-1]


def _alexnet() -> Backbone:
  layers = tuple(f"features.{index}" for index in (1, 4, 7, 9, 11))
  return Backbone("alexnet", AlexNet(), TORCHVISION, "classifier.6", layers)


def _resnet(
  num_layers: int, block: type[BasicBlock] | type[Bottleneck], *depths: int
) -> Backbone:
  layers = ("conv1", "layer1", "layer2", "layer3", "layer4")
  module = ResNet(block, depths)
  return Backbone(f"resnet{num_layers}", module, TORCHVISION, "fc", layers)


def _vgg(num_layers: int, depths: tuple[int, ...], *, normalized: bool) -> Backbone:
  name = f"vgg{num_layers}" + ("_bn" if normalized else "")
  layers = vgg.last_relus(depths, normalized=normalized)
  module = vgg.Vgg(depths, normalized)
  return Backbone(name, module, TORCHVISION, "classifier.6", layers)


def _efficientnet_lite(
  number: int, size: int, width: float, depth: float, *described: int
) -> Backbone:
  blocks = tuple(f"blocks.{index}.bn1" for index in described)
  return Backbone(
    f"efficientnet-lite{number}",
    EfficientNetLite(width=width, depth=depth),
    dataclasses.replace(EFFICIENTNET_LITE, resize=size + 32, crop=size),
    "fc",
    ("bn0", *blocks),
  )


_VGG_DEPTHS = {
  11: (1, 1, 2, 2, 2),
  13: (2, 2, 2, 2, 2),
  16: (2, 2, 3, 3, 3),
  19: (2, 2, 4, 4, 4),
}
_BACKBONES = {
  one.name: one
  for one in (
    _efficientnet_lite(0, 224, 1.0, 1.0, 2, 5, 10, 15),
    _efficientnet_lite(1, 240, 1.0, 1.1, 3, 7, 14, 20),
    _efficientnet_lite(2, 260, 1.1, 1.2, 3, 7, 14, 20),
    _alexnet(),
    _resnet(18, BasicBlock, 2, 2, 2, 2),
    _resnet(34, BasicBlock, 3, 4, 6, 3),
    _resnet(50, Bottleneck, 3, 4, 6, 3),
    _resnet(101, Bottleneck, 3, 4, 23, 3),
    _resnet(152, Bottleneck, 3, 8, 36, 3),
    *(
      _vgg(num_layers, depths, normalized=normalized)
      for normalized in (False, True)
      for num_layers, depths in _VGG_DEPTHS.items()
    ),
  )
}
