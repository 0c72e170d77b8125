import pathlib

import jax
import numpy as np
import pytest
import torch

from milan_jax._src.models.backbones import backbone
from milan_jax._src.probe.default_layers import default_layers
from milan_jax._src.probe.flax_backbone import FlaxProbe
from milan_jax._src.probe.readings import read_shapes
from milan_jax._src.records import LayerShape

LISTINGS = pathlib.Path(__file__).with_name("listings.txt")


def read_listings():
  """Layers of small real models, recorded from their probes."""
  listings = {}
  for line in LISTINGS.read_text().splitlines():
    if line.startswith("["):
      shapes = listings.setdefault(line.strip("[]"), [])
    elif not line.startswith("#"):
      name, *numbers = line.split()
      height, width, units, axes = map(int, numbers)
      shapes.append(LayerShape(name, height, width, units, (1,) * axes))
  return listings


def numbered(name, *numbers):
  return tuple(name.format(number) for number in numbers)


SWIN = ("0.blocks.1", "1.blocks.0", "2.blocks.1", "3.blocks.0")
CHOSEN = {
  "torchvision.alexnet": numbered("features.{}", 1, 4, 7, 9, 11),
  "torchvision.vgg11": numbered("features.{}", 1, 4, 9, 14, 19),
  "torchvision.resnet": ("conv1", *numbered("layer{}", 1, 2, 3, 4)),
  "torchvision.squeezenet": numbered("features.{}", 1, 4, 7, 12),
  "torchvision.densenet": (
    "features.conv0",
    *numbered("features.denseblock{}", 1, 2, 3, 4),
  ),
  "torchvision.efficientnet": numbered("features.{}", 1, 2, 3, 5, 7),
  "torchvision.convnext": numbered("features.{}", 1, 3, 5, 7),
  "torchvision.swin": numbered("features.{}", 1, 3, 5, 7),
  "torchvision.vit": numbered("encoder.layers.encoder_layer_{}.mlp.0", 0, 1, 2, 4, 5),
  "timm.resnet": ("conv1", *numbered("layer{}", 1, 2, 3, 4)),
  "timm.convnext": numbered("stages.{}", 0, 1, 2, 3),
  "timm.swin": tuple(f"layers.{one}" for one in SWIN),
  "timm.vit": numbered("blocks.{}.mlp.fc1", 0, 1, 2, 4, 5),
  "timm.efficientnet": (*numbered("blocks.{}", 0, 1, 2, 3), "bn2"),
  "timm.mixer": numbered("blocks.{}", 0, 1, 2, 4, 5),
}


@pytest.mark.parametrize("name", list(read_listings()))
def test_real_models(name):
  shapes = read_listings()[name]
  assert default_layers(shapes) == CHOSEN[name]
  # Inside another model.
  part = [
    LayerShape(f"model.visual.{one.name}", one.height, one.width, one.units, one.raw)
    for one in shapes
  ]
  whole = [*part, LayerShape("model.text.layers.0.mlp", 1, 1, 9)]
  want = tuple(f"model.visual.{layer}" for layer in CHOSEN[name])
  assert default_layers(whole) == want


@pytest.mark.parametrize(
  "name", ["alexnet", "resnet18", "resnet50", "resnet152", "vgg11", "vgg16_bn", "vgg19"]
)
def test_our_own_backbones_choose_the_same(name):
  network = backbone(name)
  params = jax.eval_shape(network.init, jax.random.key(0))
  assert default_layers(FlaxProbe(network, params).layers()) == network.default_layers


def test_a_generator_gives_a_layer_a_resolution_and_not_its_image():
  widths, size = (32, 16, 8, 4, 3), 4
  shapes = []
  for number, units in enumerate(widths):
    for part in range(3):  # transposed convolution, norm, ReLU
      shapes.append(LayerShape(f"main.{3 * number + part}", size, size, units))
    size *= 2
  assert default_layers(shapes) == ("main.2", "main.5", "main.8", "main.11")


def test_any_model_with_a_layer_has_one():
  vector = LayerShape("fc1", 1, 1, 8)
  assert default_layers([vector, LayerShape("fc2", 1, 1, 4)]) == ("fc2",)
  tokens = LayerShape("mix", 4, 4, 8, (2, 16, 8))
  patches = LayerShape("cut", 4, 4, 8, (2, 8, 4, 4))
  assert default_layers([patches, tokens, vector]) == ("mix",)
  assert default_layers([LayerShape("image", 8, 8, 3)]) == ("image",)
  assert default_layers([]) == ()


def test_more_resolutions_than_five_are_thinned():
  shapes = [LayerShape(f"down{number}", 2**number, 2**number, 8) for number in range(9)]
  shapes.reverse()
  assert default_layers(shapes) == numbered("down{}", 8, 6, 4, 3, 1)


def listing(model, size):
  """Names and shapes of the outputs of a model's modules, from the test's own hooks."""
  arrays = {}
  for name, module in model.named_modules():

    def note(module, inputs, output, name=name):
      output = output[0] if isinstance(output, tuple) else output
      if isinstance(output, torch.Tensor):
        arrays[name] = tuple(output.shape)

    module.register_forward_hook(note)
  pixels = torch.from_numpy(np.zeros((2, 3, size, size), np.float32))
  with torch.no_grad():
    model.eval()(pixels)
  arrays.pop("", None)
  return read_shapes(arrays, 2, convolution="NCHW")


TINY = {
  "hidden_size": 16,
  "num_hidden_layers": 6,
  "num_attention_heads": 2,
  "intermediate_size": 24,
  "image_size": 32,
  "patch_size": 8,
}
STAGES = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 2, 1]}


@pytest.mark.parametrize(
  ("kind", "options", "size", "chosen"),
  [
    (
      "ViTForImageClassification",
      TINY,
      32,
      numbered("vit.layers.{}.mlp.fc1", 0, 1, 2, 4, 5),
    ),
    (
      "CLIPVisionModel",
      TINY,
      32,
      numbered("encoder.layers.{}.mlp.fc1", 0, 1, 2, 4, 5),
    ),
    (
      "SiglipVisionModel",
      TINY,
      32,
      numbered("encoder.layers.{}.mlp.fc1", 0, 1, 2, 4, 5),
    ),
    (
      "Dinov2WithRegistersModel",
      TINY,
      32,
      numbered("encoder.layer.{}.mlp.fc1", 0, 1, 2, 4, 5),
    ),
    (
      "ConvNextForImageClassification",
      STAGES,
      64,
      numbered("convnext.encoder.stages.{}", 0, 1, 2, 3),
    ),
    (
      "ResNetForImageClassification",
      STAGES | {"embedding_size": 8},
      64,
      (
        "resnet.embedder.embedder",
        *numbered("resnet.encoder.stages.{}", 0, 1, 2, 3),
      ),
    ),
    (
      "SwinModel",
      {
        "image_size": 64,
        "window_size": 4,
        "embed_dim": 8,
        "depths": [1, 2],
        "num_heads": [1, 2],
      },
      64,
      ("encoder.layers.0.blocks.0", "encoder.layers.1.blocks.1"),
    ),
  ],
)
def test_models_of_transformers(kind, options, size, chosen):
  transformers = pytest.importorskip("transformers")
  cls = getattr(transformers, kind)
  assert default_layers(listing(cls(cls.config_class(**options)), size)) == chosen
