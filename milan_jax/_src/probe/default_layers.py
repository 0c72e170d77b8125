"""Chooses layers to describe when none are given, by the names of architectures."""

import dataclasses
import re
from collections.abc import Callable, Sequence

from milan_jax._src.records import LayerShape

# Maximum number of layers chosen by default.
MAX_LAYERS = 5

Choice = Callable[[Sequence[LayerShape]], Sequence[LayerShape]]


def default_layers(shapes: Sequence[LayerShape]) -> tuple[str, ...]:
  """Chooses at most five layers to describe, in the model's order.

  For a known architecture, the layers that papers describe: the outputs of a
  convolutional network's stages, or the hidden units of a transformer's MLPs, after
  their first linear layer. For other models, the last map of each resolution, or the
  blocks.

  Args:
    shapes: all layers of the model, in its order.

  Returns:
    Names; empty only if `shapes` is.

  Source: for transformers, Hernandez et al. 2022, appendix.
  """
  for family in _FAMILIES:
    candidates = _candidates(family, shapes)
    if len(candidates) > 1:
      return tuple(shape.name for shape in _subsample(family.choice(candidates)))
  return tuple(shape.name for shape in _subsample(_guess(shapes)))


def _candidates(
  family: "_Family", shapes: Sequence[LayerShape]
) -> Sequence[LayerShape]:
  matches = (
    re.fullmatch(rf"((?:.*\.)?){family.signature}", shape.name) for shape in shapes
  )
  # The names of a network inside another model have a prefix.
  prefix = min((match[1] for match in matches if match), key=len, default=None)
  if prefix is None:
    return []
  layers = re.compile(re.escape(prefix) + family.layers)
  return [shape for shape in shapes if layers.fullmatch(shape.name)]


def _guess(shapes: Sequence[LayerShape]) -> Sequence[LayerShape]:
  maps = _last_maps(shapes)
  if len(maps) > 1:
    return maps
  blocks = [shape for shape in shapes if re.fullmatch(_BLOCK, shape.name)]
  if len(blocks) > 1:
    return blocks
  # A single map is usually a transformer's patch embedding, which is uninformative:
  # take the last spatial layer.
  spatial = [shape for shape in shapes if shape.height * shape.width > 1]
  return (spatial or list(shapes))[-1:]


def _subsample(shapes: Sequence[LayerShape]) -> Sequence[LayerShape]:
  """The first, the last, and evenly spaced layers between them."""
  if len(shapes) <= MAX_LAYERS:
    return shapes
  step = (len(shapes) - 1) / (MAX_LAYERS - 1)
  return [shapes[round(number * step)] for number in range(MAX_LAYERS)]


def _last_maps(shapes: Sequence[LayerShape]) -> Sequence[LayerShape]:
  """The last map of each resolution, at the smallest nesting depth that has them all.

  A stage is preferred to the parts of its last block and to the network that contains
  it.
  """
  maps = [shape for shape in shapes if _is_map(shape)]
  if not maps:
    return []
  depths = sorted({shape.name.count(".") for shape in maps})
  shallow = maps
  most = min(4, len({shape.height for shape in maps}))
  for depth in depths:
    shallow = [shape for shape in maps if shape.name.count(".") <= depth]
    if len({shape.height for shape in shallow}) >= most:
      break
  chosen: dict[int, LayerShape] = {}
  for shape in shallow:
    others = (one for height, one in chosen.items() if height != shape.height)
    if not any(one.name.startswith(f"{shape.name}.") for one in others):
      chosen[shape.height] = shape
  return [shape for shape in shapes if shape in chosen.values()]


def _is_map(shape: LayerShape) -> bool:
  """Whether it is a square map of four axes, but not an image or a map of classes.

  Arrays split over attention heads also have four axes, but are not square.
  """
  four = len(shape.raw) in (0, 4)
  square = shape.height == shape.width > 1
  return four and square and shape.units > 3 and not re.search(_HEAD, shape.name)


def _all(shapes: Sequence[LayerShape]) -> Sequence[LayerShape]:
  return shapes


def _last_of_stages(shapes: Sequence[LayerShape]) -> Sequence[LayerShape]:
  """The last block of each stage: blocks are named `STAGE.blocks.NUMBER`."""
  stages = {shape.name.rpartition(".")[0]: shape for shape in shapes}
  return list(stages.values())


def _before_pools(shapes: Sequence[LayerShape]) -> Sequence[LayerShape]:
  """The last layer of each resolution except the lowest, which is a pool's output."""
  last = {shape.height: shape for shape in shapes}
  return list(last.values())[:-1]


@dataclasses.dataclass(frozen=True, slots=True)
class _Family:
  """An architecture, recognized by a library's names of its layers.

  Attributes:
    signature: a regular expression; the model belongs to the family if it matches a
      layer's name, or the end of one after a dot.
    layers: a regular expression for the names of candidate layers, after the prefix
      before `signature`.
    choice: selects from the candidates; more than `MAX_LAYERS` are subsampled.
  """

  signature: str
  layers: str
  choice: Choice = _all


# Numbered blocks at any depth.
_BLOCK = r"(.*\.)?\w*(blocks?|layers?|encoderblock|stages?)[._]?\d+"
_HEAD = r"(^|\.)(classifier|head|fc|logits)(\.|$)"
# `blocks.3.mlp.fc1` in timm and in DINO; `layers.3.mlp.fc1` and older names in
# transformers; `encoder_layer_3.mlp.0` in torchvision; CLIP's own; JAX's.
_HIDDEN = (
  r"\w*(blocks?|layers?)[._]?\d+\.("
  r"mlp\.(fc1|0|c_fc|weights_in|w12|w1|linear1|lin1|Dense_0)|"
  r"intermediate\.dense|MlpBlock_\d+\.Dense_0)"
)

_FAMILIES = (
  # ResNet in torchvision and timm; ResNet, RegNet and ConvNeXt in transformers; other
  # networks with stages in timm.
  _Family(r"layer4", r"(conv1|layer[1-4])"),
  _Family(r"encoder\.stages\.\d", r"(embedder\.embedder|encoder\.stages\.\d)"),
  _Family(r"stages\.\d", r"stages\.\d"),
  # VGG and AlexNet. VGG comes first: it has more layers.
  _Family(r"features\.20", r"features\.\d+", _before_pools),
  _Family(r"classifier\.6", r"features\.(1|4|7|9|11)"),
  # DenseNet.
  _Family(r"features\.denseblock1", r"features\.(conv0|denseblock\d)"),
  # Swin, in torchvision, then in timm and transformers.
  _Family(r"features\.1\.0\.attn(\..*)?", r"features\.[1357]"),
  _Family(r"layers\.1\.blocks\.0", r"layers\.\d\.blocks\.\d+", _last_of_stages),
  # Vision transformers.
  _Family(_HIDDEN, _HIDDEN),
)
