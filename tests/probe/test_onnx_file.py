import numpy as np
import pytest
import torch
from torch.nn import functional

from milan_jax._src.errors import UserError
from milan_jax._src.images.preprocessing import default_mean_and_std
from milan_jax._src.probe.layout import parse_layouts
from milan_jax._src.probe.protocol import Probe
from milan_jax._src.records import LayerShape

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from milan_jax._src.probe.onnx_file import OnnxProbe  # noqa: E402
from milan_jax._src.probe.trial_report import try_layers  # noqa: E402

RNG = np.random.default_rng(0)
KERNEL = RNG.standard_normal((6, 3, 3, 3)).astype(np.float32) * 2
HEAD = RNG.standard_normal((6, 4)).astype(np.float32)


def model(
  shape=("N", 3, 16, 16),
  *,
  dtype=TensorProto.FLOAT,
  nodes=None,
  outputs=("logits",),
  opset=17,
  inputs=None,
):
  """Convolution, ReLU6, mean and a linear layer, unless there are other nodes."""
  node = helper.make_node
  nodes = nodes or [
    node("Conv", ["image", "kernel"], ["conv"], "first", pads=[1] * 4, strides=[2, 2]),
    node("Clip", ["conv", "low", "high"], ["clip"], "second"),
    node("Shape", ["clip"], ["sizes"]),
    node("GlobalAveragePool", ["clip"], ["pool"], "third"),
    node("Flatten", ["pool"], ["flat"], "conv"),
    node("MatMul", ["flat", "head"], ["logits"], "last"),
  ]
  weights = {
    "kernel": KERNEL,
    "head": HEAD,
    "low": np.float32(-1),
    "high": np.float32(6),
    "three": np.float32(3),
  }
  used = {name for one in nodes for name in one.input}
  graph = helper.make_graph(
    nodes,
    "model",
    inputs or [helper.make_tensor_value_info("image", dtype, shape)],
    [helper.make_tensor_value_info(name, dtype, None) for name in outputs],
    [numpy_helper.from_array(weights[one], one) for one in sorted(used & set(weights))],
  )
  opsets = [helper.make_opsetid("", opset)]
  return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.fixture(scope="module")
def images():
  return np.random.default_rng(1).integers(0, 256, (7, 16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def answers(images):
  """What torch computes for the normalized images, in NHWC."""
  mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
  pixels = torch.from_numpy(((images / 255 - mean) / std).transpose(0, 3, 1, 2)).float()
  conv = functional.conv2d(pixels, torch.tensor(KERNEL), padding=1, stride=2)
  pool = conv.clamp(-1, 6).mean((2, 3), keepdim=True)
  logits = pool[:, :, 0, 0] @ torch.tensor(HEAD)
  found = {
    "conv": conv,
    "clip": conv.clamp(min=-1),
    "pool": pool,
    "flat": pool.flatten(1)[..., None, None],
    "logits": logits[..., None, None],
  }
  return {name: one.numpy().transpose(0, 2, 3, 1) for name, one in found.items()}


def check(found, answers, **tolerance):
  for name, array in found.items():
    assert array.dtype == np.float32
    want = answers[name][: len(array)]
    np.testing.assert_allclose(array, want, err_msg=name, **tolerance)


@pytest.mark.parametrize("batch", ["N", None, 1, 3])
def test_tensors_of_any_batch(images, answers, batch):
  probe = OnnxProbe(model((batch, 3, 16, 16)))
  assert isinstance(probe, Probe)
  assert probe.image_size == 16
  assert probe.layers() == (
    LayerShape("conv", 8, 8, 6),
    LayerShape("clip", 8, 8, 6),
    LayerShape("pool", 1, 1, 6),
    LayerShape("flat", 1, 1, 6),
    LayerShape("logits", 1, 1, 4),
  )
  for number in (7, 2):
    for names in (("logits", "conv"), ("clip", "pool"), ("flat",)):
      found = probe.activations(images[:number], names)
      assert tuple(found) == names
      assert len(found[names[0]]) == number
      check(found, answers, atol=1e-4)


def test_what_is_not_needed_is_not_computed(images):
  probe = OnnxProbe(model())
  probe.activations(images, ("conv",))
  assert [one.name for one in probe._session[1].get_outputs()] == ["conv"]
  session = probe._session[1]
  probe.activations(images[:1], ("conv",))
  assert probe._session[1] is session
  # A clip needs only its input.
  probe.activations(images[:1], ("clip",))
  assert probe._session[1] is session


def test_clips_as_they_are(images, answers):
  probe = OnnxProbe(model(), before_clip=False)
  found = probe.activations(images, ("clip",))["clip"]
  np.testing.assert_allclose(found, answers["clip"].clip(max=6), atol=1e-4)
  assert answers["clip"].max() > 6
  assert not probe.notes()
  assert OnnxProbe(model()).notes() == {"clip": "before its clip at 6"}


@pytest.mark.parametrize(
  ("nodes", "opset", "note"),
  [
    ([("Clip", ["a", "", "three"], {})], 17, "before its clip at 3"),
    ([("Clip", ["a"], {"min": -0.5, "max": 2.0})], 9, "before its clip at 2"),
    ([("Min", ["a", "three"], {})], 17, "before its clip at 3"),
    ([("Min", ["three", "a"], {})], 17, "before its clip at 3"),
    # Bounds computed from constants, and from the image.
    (
      [("Identity", ["three"], {}), ("Clip", ["a", "", "b0"], {})],
      17,
      "before its clip at 3",
    ),
    (
      [("ReduceMax", ["a"], {"keepdims": 0}), ("Clip", ["a", "", "b0"], {})],
      17,
      None,
    ),
    # No upper bound.
    ([("Clip", ["a", "low"], {})], 17, None),
    ([("Relu", ["a"], {})], 17, None),
  ],
)
def test_kinds_of_clips(images, nodes, opset, note):
  made = [helper.make_node("Neg", ["image"], ["a"])]
  for index, (kind, given, options) in enumerate(nodes):
    name = "out" if index == len(nodes) - 1 else f"b{index}"
    made.append(helper.make_node(kind, given, [name], **options))
  proto = model(nodes=made, outputs=("out",), opset=opset)
  probe = OnnxProbe(proto, mean=(128.0,) * 3, std=(16.0,) * 3)
  assert probe.notes().get("out") == note
  values = (128 - np.float32(images)) / 16
  found = probe.activations(images, ("out",))["out"]
  if nodes[0][2].get("min"):
    values = values.clip(min=-0.5)
  elif note is None and nodes[0][0] != "ReduceMax":
    values = values.clip(min=-1 if nodes[0][0] == "Clip" else 0)
  np.testing.assert_allclose(found, values)


@pytest.mark.parametrize("threshold", [0, 100])
def test_weights_in_a_file_beside_it(images, answers, tmp_path, monkeypatch, threshold):
  folder = tmp_path / "a model"
  folder.mkdir()
  path = folder / "model.onnx"
  onnx.save(
    model(),
    path,
    save_as_external_data=True,
    location="weights.bin",
    size_threshold=threshold,
  )
  monkeypatch.chdir(tmp_path)
  before = {one.name: one.read_bytes() for one in folder.iterdir()}
  assert set(before) == {"model.onnx", "weights.bin"}
  probe = OnnxProbe("a model/model.onnx")
  check(probe.activations(images, ("clip", "logits")), answers, atol=1e-4)
  assert {one.name: one.read_bytes() for one in folder.iterdir()} == before
  (folder / "weights.bin").unlink()
  with pytest.raises(UserError, match="check that its weights are in the same folder"):
    OnnxProbe("a model/model.onnx").activations(images, ("conv",))


def test_names_of_nodes_stand_for_their_tensors(images, answers):
  probe = OnnxProbe(model())
  # The node named conv does not output the tensor of that name.
  assert probe.aliases == {
    "first": "conv",
    "second": "clip",
    "third": "pool",
    "last": "logits",
  }
  found = probe.activations(images, ("last", "conv"))
  np.testing.assert_allclose(found["last"], answers["logits"], atol=1e-4)
  with pytest.raises(UserError, match="no tensor 'fourth'"):
    probe.activations(images, ("fourth",))


def test_colors_last_and_whole_numbers(images):
  nodes = [
    helper.make_node("Cast", ["image"], ["values"], to=TensorProto.FLOAT),
    helper.make_node("Transpose", ["values"], ["turned"], perm=[0, 3, 1, 2]),
    helper.make_node("Sqrt", ["turned"], ["root"]),
  ]
  proto = model(
    ("N", None, None, 3), dtype=TensorProto.UINT8, nodes=nodes, outputs=("root",)
  )
  proto.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
  probe = OnnxProbe(proto, 16)
  assert [shape.layout for shape in probe.layers()] == ["NHWC", "NCHW", "NCHW"]
  found = probe.activations(images, ("values", "root"))
  np.testing.assert_array_equal(found["values"], images)
  np.testing.assert_allclose(found["root"], np.sqrt(np.float32(images)))
  assert OnnxProbe(proto).image_size == 224


def test_half_precision_comes_out_as_float32(images):
  nodes = [helper.make_node("Abs", ["image"], ["abs"])]
  proto = model(dtype=TensorProto.FLOAT16, nodes=nodes, outputs=("abs",))
  probe = OnnxProbe(proto, mean=(100.0,) * 3, std=(10.0,) * 3)
  found = probe.activations(images, ("abs",))["abs"]
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, abs(np.float32(images) - 100) / 10, rtol=1e-3)


def test_shapes_that_only_a_run_tells(images):
  # Patches as tokens: sizes are computed from the image, and the parts are joined by an
  # operator that shape inference does not support.
  node = helper.make_node
  nodes = [
    node("Conv", ["image", "kernel"], ["conv"], pads=[1] * 4, strides=[4, 4]),
    node("Gelu", ["conv"], ["odd"], domain="com.microsoft"),
    node("Shape", ["odd"], ["start"], start=0, end=2),
    node("Constant", [], ["rest"], value_ints=[-1]),
    node("Concat", ["start", "rest"], ["sizes"], axis=0),
    node("Reshape", ["odd", "sizes"], ["rows"]),
    node("Transpose", ["rows"], ["tokens"], perm=[0, 2, 1]),
  ]
  proto = model(nodes=nodes, outputs=("tokens",))
  proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
  probe = OnnxProbe(proto, layouts=parse_layouts("rows=NCL"))
  shapes = {shape.name: shape.layout for shape in probe.layers()}
  assert shapes == {"conv": "NCHW", "odd": "NCHW", "rows": "NCL", "tokens": "NLC"}
  found = probe.activations(images, ("conv", "odd", "rows", "tokens"))
  gelu = functional.gelu(torch.tensor(found["conv"])).numpy()
  for name in ("odd", "rows", "tokens"):
    np.testing.assert_allclose(found[name], gelu, atol=1e-5)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (None, "there is no such file"),
    (b"", "is not an ONNX model: it has no nodes"),
    (b"not a model", "is not an ONNX model"),
  ],
)
def test_no_model(tmp_path, content, message):
  path = tmp_path / "model.onnx"
  if content is not None:
    path.write_bytes(content)
  with pytest.raises(UserError, match=message):
    OnnxProbe(path)


@pytest.mark.parametrize(
  ("shape", "size", "channels"),
  [
    (("N", 1, 16, 16), 16, 1),
    ((2, 4, 16, 16), 16, 4),
    (("N", 13, "h", "w"), 224, 13),
    (("N", 3, 12, 20), (12, 20), 3),
    (("N", 1, 12, "w"), 12, 1),
  ],
)
def test_images_of_other_channels_and_sizes(shape, size, channels):
  weight = np.random.default_rng(0).standard_normal((6, channels, 1, 1), np.float32)
  given = [helper.make_tensor_value_info("image", 1, shape)]
  graph = helper.make_graph(
    [helper.make_node("Conv", ["image", "weight"], ["maps"])],
    "net",
    given,
    [helper.make_tensor_value_info("maps", 1, None)],
    [numpy_helper.from_array(weight, "weight")],
  )
  proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
  proto.ir_version = 8
  probe = OnnxProbe(proto)
  assert (probe.image_size, probe.channels) == (size, channels)
  mean, std = (np.array(one, np.float32) for one in default_mean_and_std(channels))
  height, width = size if isinstance(size, tuple) else (size, size)
  rng = np.random.default_rng(1)
  pixels = rng.integers(0, 256, (2, height, width, channels), np.uint8)
  found = probe.activations(pixels, ("maps",))["maps"]
  expected = ((pixels - mean) / std) @ weight[:, :, 0, 0].T
  np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_size_that_the_model_does_not_take():
  with pytest.raises(UserError, match="images of 16 x 16 pixels: expected 16 x 20"):
    OnnxProbe(model(), (16, 20))


def test_models_of_something_else(images):
  two = [helper.make_tensor_value_info(name, 1, ["N", 3, 16, 16]) for name in "xy"]
  nodes = [helper.make_node("Add", ["x", "y"], ["logits"])]
  with pytest.raises(UserError, match="inputs are x, y: expected one"):
    OnnxProbe(model(nodes=nodes, inputs=two))
  with pytest.raises(UserError, match="image has the type INT64: expected images"):
    OnnxProbe(model(dtype=TensorProto.INT64))
  with pytest.raises(UserError, match=r"the shape \(\?, 64, 8, 64\): expected images"):
    OnnxProbe(model(("N", 64, 8, 64)))
  with pytest.raises(UserError, match="of 16 x 16 pixels: expected 32 x 32"):
    OnnxProbe(model(), 32)
  with pytest.raises(UserError, match="no tensor 'sizes' that can be read"):
    OnnxProbe(model()).activations(images, ("sizes",))
  with pytest.raises(UserError, match="export it for an older opset"):
    OnnxProbe(model(opset=99)).activations(images, ("conv",))


def test_a_batch_that_the_model_does_not_run_on(images):
  nodes = [
    helper.make_node("Constant", [], ["sizes"], value_ints=[1, 3, 16, 16]),
    helper.make_node("Reshape", ["image", "sizes"], ["fixed"]),
    helper.make_node("Relu", ["image"], ["relu"]),
    helper.make_node("Add", ["fixed", "image"], ["sum"]),
  ]
  probe = OnnxProbe(model(nodes=nodes, outputs=("sum", "relu")))
  assert [shape.name for shape in probe.layers()] == ["relu", "sum"]
  with pytest.raises(UserError, match="does not run on 7 images of 16 x 16 pixels"):
    probe.activations(images, ("sum",))
  assert probe.activations(images[:1], ("sum",))


def _in_training_mode(kind):
  node, tensor = helper.make_node, numpy_helper.from_array
  kernel = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
  four = {name: np.full(4, name in "sv", np.float32) for name in "sbmv"}
  nodes = {
    "BatchNormalization": node(
      *("BatchNormalization", ["conv", "s", "b", "m", "v"]),
      ["read", "mean", "variance"],
      training_mode=1,
    ),
    "Dropout": node("Dropout", ["conv", "half", "yes"], ["read"]),
    "RandomNormalLike": node("RandomNormalLike", ["conv"], ["read"]),
  }
  weights = {"kernel": kernel, "half": np.float32(0.5), "yes": np.array(True), **four}
  used = {"kernel", *nodes[kind].input} & weights.keys()
  graph = helper.make_graph(
    [node("Conv", ["image", "kernel"], ["conv"], strides=[2, 2]), nodes[kind]],
    "training",
    [helper.make_tensor_value_info("image", TensorProto.FLOAT, ("N", 3, 16, 16))],
    [helper.make_tensor_value_info("read", TensorProto.FLOAT, None)],
    [tensor(np.asarray(weights[name]), name) for name in sorted(used)],
  )
  opsets = [helper.make_opsetid("", 17)]
  return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("kind", ["BatchNormalization", "Dropout", "RandomNormalLike"])
def test_nodes_in_training_mode_are_told(kind):
  # onnxruntime updates the statistics of its batch norm in every pass.
  probe = OnnxProbe(_in_training_mode(kind))
  found = try_layers(probe, ("conv", "read"), batch_size=4).differences
  assert [(one.layer, one.cause.value) for one in found] == [("read", "random")]
