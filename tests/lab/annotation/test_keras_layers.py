"""A small Keras model for TensorFlow.js, written by hand and compared with torch."""

import base64
import json
import re

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional

from milan_jax._src.errors import UserError
from milan_jax._src.lab.annotation.annotated_networks import (
  NETWORKS,
  collect_all,
  nsfwjs,
)
from milan_jax._src.lab.annotation.keras_layers import compute, params_of
from milan_jax._src.lab.annotation.tfjs_bundle import KerasLayer, read_model
from milan_jax._src.models.backbones import backbone

VALID = {"padding": "valid", "strides": [2, 2], "dilation_rate": [1, 1]}
SAME = {"padding": "same", "strides": [1, 1], "dilation_rate": [1, 1]}
WINDOW = {"pool_size": [3, 3], "strides": [1, 1]}
LAYERS = [
  ("images", "InputLayer", {}, []),
  ("pad", "ZeroPadding2D", {"padding": [[0, 1], [0, 1]]}, ["images"]),
  ("conv", "Conv2D", {**VALID, "activation": "linear", "use_bias": False}, ["pad"]),
  ("bn", "BatchNormalization", {"epsilon": 0.001, "scale": True}, ["conv"]),
  ("clip", "ReLU", {"max_value": 6}, ["bn"]),
  ("depth", "DepthwiseConv2D", {**SAME, "activation": "relu"}, ["clip"]),
  ("sum", "Add", {}, ["depth", "clip"]),
  ("mean", "AveragePooling2D", {**WINDOW, "padding": "same"}, ["sum"]),
  ("most", "MaxPooling2D", {**WINDOW, "padding": "valid"}, ["sum"]),
  ("joined", "Concatenate", {"axis": 3}, ["mean", "sum"]),
  ("flat", "Flatten", {}, ["joined"]),
  ("drop", "Dropout", {"rate": 0.5}, ["flat"]),
  ("dense", "Dense", {"activation": "softmax"}, ["drop"]),
]
SHAPES = {
  "conv/kernel": (3, 3, 3, 4),
  **{f"bn/{part}": (4,) for part in ("beta", "gamma", "moving_mean")},
  "bn/moving_variance": (4,),
  "depth/depthwise_kernel": (3, 3, 4, 1),
  "depth/bias": (4,),
  "dense/kernel": (4 * 4 * 8, 5),
  "dense/bias": (5,),
}


def _script(value):
  """A value as minified JavaScript writes it."""
  text = json.dumps(value, separators=(",", ":"))
  text = re.sub(r'"(\w+)":', r"\1:", text).replace("true", "!0").replace("false", "!1")
  return re.sub(r"(?<![\d\w])(-?)0\.", r"\1.", text)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
  """The model in two shards, its kernels quantized; and its weights."""
  folder = tmp_path_factory.mktemp("tfjs") / "tiny"
  folder.mkdir()
  rng, data, entries, weights = np.random.default_rng(0), b"", [], {}
  for name, shape in SHAPES.items():
    entry = {"name": name, "shape": list(shape), "dtype": "float32"}
    if "kernel" in name or "variance" in name:
      low, scale = (0.25, 0.0078125) if "variance" in name else (-0.5, 0.00390625)
      steps = rng.integers(0, 256, shape, np.uint8)
      entry["quantization"] = {"min": low, "scale": scale, "dtype": "uint8"}
      weights[name], data = steps * scale + low, data + steps.tobytes()
    else:
      weights[name] = rng.standard_normal(shape).astype("<f4")
      data += weights[name].tobytes()
    entries.append(entry)
  layers = [
    {
      "name": name,
      "class_name": kind,
      "config": {"name": name, "trainable": False, **config},
      "inbound_nodes": [[[one, 0, 0, {}] for one in inputs]] if inputs else [],
    }
    for name, kind, config, inputs in LAYERS
  ]
  paths = ["group1-shard1of2", "group1-shard2of2"]
  model = {
    "modelTopology": {"model_config": {"config": {"layers": layers}}},
    "weightsManifest": [{"paths": paths, "weights": entries}],
  }
  wrapped = "!function(e){{e.exports={0}}}(function(){{return 1}})".format
  (folder / "model.min.js").write_text(wrapped(_script(model)))
  for path, part in zip(paths, (data[:301], data[301:]), strict=True):
    text = f'"{base64.b64encode(part).decode()}"'
    (folder / f"{path}.min.js").write_text(wrapped(text))
  return folder, weights


def _torch(images, weights):
  """The same network in torch, its maps as NHWC."""

  def of(name):
    return torch.from_numpy(np.asarray(weights[name], np.float32))

  def convolved(maps, kernel, **options):
    return functional.conv2d(maps, kernel.permute(3, 2, 0, 1), **options)

  maps = torch.from_numpy(images).permute(0, 3, 1, 2)
  found = {"pad": functional.pad(maps, (0, 1, 0, 1))}
  found["conv"] = convolved(found["pad"], of("conv/kernel"), stride=2)
  found["bn"] = functional.batch_norm(
    found["conv"],
    *(of("bn/moving_mean"), of("bn/moving_variance"), of("bn/gamma"), of("bn/beta")),
    eps=1e-3,
  )
  found["clip"] = functional.relu6(found["bn"])
  kernel = of("depth/depthwise_kernel").permute(0, 1, 3, 2)
  depth = convolved(found["clip"], kernel, padding=1, groups=4, bias=of("depth/bias"))
  found["depth"] = functional.relu(depth)
  found["sum"] = found["depth"] + found["clip"]
  found["mean"] = functional.avg_pool2d(
    found["sum"], 3, 1, padding=1, count_include_pad=False
  )
  found["most"] = functional.max_pool2d(found["sum"], 3, 1)
  found["joined"] = torch.cat([found["mean"], found["sum"]], 1)
  arrays = {name: value.permute(0, 2, 3, 1) for name, value in found.items()}
  flat = arrays["joined"].flatten(1)
  dense = flat @ of("dense/kernel") + of("dense/bias")
  return arrays | {"flat": flat, "drop": flat, "dense": dense.softmax(1)}


def test_a_model_is_read_and_computed_as_torch_does(bundle):
  folder, weights = bundle
  layers, found = read_model(folder)
  assert [(one.name, one.kind, list(one.inputs)) for one in layers] == [
    (name, kind, inputs) for name, kind, _, inputs in LAYERS
  ]
  assert all(one.config["trainable"] is False for one in layers)
  for name, array in weights.items():
    np.testing.assert_allclose(found[name], array, atol=1e-6)
  images = np.random.default_rng(1).standard_normal((2, 8, 8, 3)).astype(np.float32)
  expected = _torch(images, weights)
  ours = compute(layers, params_of(found), jnp.asarray(images))
  assert list(ours) == [name for name, *_ in LAYERS[1:]]
  for name, array in expected.items():
    assert array.std() > 0
    np.testing.assert_allclose(ours[name], array, atol=2e-5, err_msg=name)
  some = compute(layers, params_of(found), jnp.asarray(images), ("sum", "bn"))
  assert list(some) == ["sum", "bn"]


def test_what_cannot_be_read_or_computed_is_refused(bundle, tmp_path):
  folder, _ = bundle
  with pytest.raises(UserError, match="cannot be read"):
    read_model(tmp_path)
  (tmp_path / "model.min.js").write_text("module.exports=1")
  with pytest.raises(UserError, match="expected a Keras model"):
    read_model(tmp_path)
  cut = tmp_path / "cut"
  cut.mkdir()
  for path in folder.iterdir():
    (cut / path.name).write_text(path.read_text())
  shard = cut / "group1-shard2of2.min.js"
  shard.write_text(f'"{"A" * 64}"')
  with pytest.raises(UserError, match="expected a Keras model"):
    read_model(cut)
  layer = KerasLayer("odd", "LSTM", {}, ("images",))
  with pytest.raises(UserError, match="odd is a LSTM"):
    compute(
      [KerasLayer("images", "InputLayer", {}, ()), layer], {}, jnp.zeros((1, 2, 2, 3))
    )


def test_the_annotated_layers_are_the_networks_own():
  for name, known in (
    ("lite0", "efficientnet-lite0"),
    ("lite1", "efficientnet-lite1"),
    ("vgg16", "vgg16"),
  ):
    order = backbone(known).layer_names
    places = [order.index(layer) for layer in NETWORKS[name].layers]
    assert places == sorted(set(places))
  assert NETWORKS["lite2"].layers == NETWORKS["lite1"].layers


def test_a_network_is_opened_from_an_unpacked_package(bundle, tmp_path):
  folder, _ = bundle
  models = tmp_path / "package" / "dist" / "models"
  models.mkdir(parents=True)
  (models / "tiny").symlink_to(folder)
  network = nsfwjs(tmp_path, name="tiny", size=8)
  assert network.geometry.crop == 8 and network.geometry.resize == 9
  sizes = {one.name: (one.height, one.units) for one in network.probe.layers()}
  assert sizes["conv"] == (4, 4) and sizes["joined"] == (4, 8)
  black = np.zeros((1, 8, 8, 3), np.uint8)
  found = network.probe.activations(black + np.uint8(255), ("conv",))["conv"]
  # White is 1 everywhere but in the padding, below and to the right.
  _, weights = bundle
  whole = weights["conv/kernel"].sum((0, 1, 2))
  np.testing.assert_allclose(found[0, 0, 0], whole, atol=1e-5)
  with pytest.raises(UserError, match=r"npm pack nsfwjs@4\.3\.0"):
    collect_all("photos", str(tmp_path), str(tmp_path / "out"), names=["inception"])
  with pytest.raises(UserError, match="Did you mean"):
    collect_all("photos", str(tmp_path), str(tmp_path / "out"), names=["incepton"])
