"""A run goes on only from what it began with; a copy of it is the same."""

import hashlib
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.errors import UserError
from milan_jax._src.store.exemplar_sets import exemplar_files
from tests.helpers.runs import look, make_module

TORCH = """
  import torch
  class Net(torch.nn.Module):
    def __init__(self):
      super().__init__()
      torch.manual_seed(0)
      self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)
      self.act = torch.nn.ReLU()
      self.register_buffer("shift", torch.tensor(1.0), persistent=False)
    def forward(self, images):
      return self.act(self.conv(images) + self.shift)
"""
LINEN = """
  import flax.linen as nn, jax, jax.numpy as jnp
  class Net(nn.Module):
    @nn.compact
    def __call__(self, images):
      return nn.relu(nn.Conv(4, (3, 3), name="conv")(images))
  def make():
    return Net(), Net().init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
"""
NNX = """
  from flax import nnx
  class Net(nnx.Module):
    def __init__(self):
      rngs = nnx.Rngs(0)
      self.conv = nnx.Conv(3, 4, (3, 3), rngs=rngs)
      self.dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(7))
    def __call__(self, images):
      return nnx.relu(self.dropout(self.conv(images)))
"""
FUNCTION = """
  import jax.numpy as jnp, numpy as np
  weights = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
  def net(images):
    return {"colors": jnp.maximum(images @ weights, 0)}
"""
PARTIAL = """
  import functools, jax, jax.numpy as jnp, numpy as np
  def run(weights, images):
    return {"colors": images @ weights}
  net = jax.tree_util.Partial(run, np.full((3, 5), 0.5, np.float32))
"""
PROBE = """
  import numpy as np
  from milan_jax import LayerShape
  class Own:
    image_size, num_devices, gain = 16, 1, 2.0
    def layers(self):
      return (LayerShape("own", 16, 16, 3, (1, 16, 16, 3), "NHWC"),)
    def activations(self, inputs, layers):
      return {"own": self.gain * inputs.astype(np.float32)}
"""
GENERATOR = """
  import torch
  class Gan(torch.nn.Module):
    def __init__(self):
      super().__init__()
      torch.manual_seed(0)
      self.layer = torch.nn.ConvTranspose2d(6, 3, 16)
    def forward(self, latents):
      return torch.tanh(self.layer(latents))
"""
AGAIN = "made at random and not seeded"
OTHER = "gives other activations for the same images"
CHANGES = {
  "torch: trained": (TORCH, "Net", "seed(0)", "seed(1)", "2 of 3 parameters changed"),
  "torch: a buffer": (TORCH, "Net", "r(1.0)", "r(2.0)", "first shift"),
  "torch: its code": (TORCH, "Net", "conv(images)", "conv(-images)", OTHER),
  "torch: no seed": (TORCH.replace("torch.manual_seed(0)", "0"), "Net", "", "", AGAIN),
  "Linen: trained": (LINEN, "make", "key(0)", "key(1)", "first params.conv.kernel"),
  "Linen: its code": (LINEN, "make", "nn.relu", "nn.tanh", OTHER),
  "NNX: trained": (NNX, "Net", "Rngs(0)", "Rngs(1)", "first conv.kernel"),
  "NNX: its code": (NNX, "Net", "nnx.relu(", "nnx.gelu(", OTHER),
  "function: arrays": (FUNCTION, "net", "rng(0)", "rng(1)", OTHER),
  "function: its code": (FUNCTION, "net", "maximum", "minimum", OTHER),
  "function: no seed": (FUNCTION.replace("rng(0)", "rng()"), "net", "", "", "not seed"),
  "function: one weight": (FUNCTION, "net", "32)", "32) + 0.1 * np.eye(3, 5)", OTHER),
  "partial: trained": (
    PARTIAL,
    "net",
    "0.5",
    "0.4",
    "changed since",
  ),
  "probe of one's own": (PROBE, "Own", "gain = 16, 1, 2.0", "gain = 16, 1, 2.1", OTHER),
}


def test_a_network_that_cannot_bear_noise(tmp_path):
  """It is shown the run's own pictures in its place."""
  images = tmp_path / "images.npy"
  np.save(images, np.full((3, 16, 16, 3), 9, np.uint8))
  picky = TORCH.replace(
    "return self", "assert images.std() < 1, 'too loud'\n      return self"
  )

  def look_again(text):
    make_module(text)
    look(tmp_path / "run", model="changing:Net", images=str(images), layers="-1")

  look_again(picky)
  look_again(picky)
  with pytest.raises(UserError, match=OTHER):
    look_again(picky.replace("conv(images)", "conv(-images)"))


@pytest.fixture
def array(tmp_path):
  """A file of small images."""
  path = tmp_path / "images.npy"
  np.save(path, np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8))
  return path


@pytest.mark.parametrize("change", CHANGES)
def test_models_by_name(change, array, tmp_path):
  text, name, before, after, words = CHANGES[change]
  model = f"changing:{name}"

  def look_again():
    size = "" if name == "Own" else "16"  # a probe sets its own
    options = {"model": model, "images": str(array), "image_size": size}
    return look(tmp_path / "run", layers="-1", **options)

  make_module(text)
  look_again()
  noted = (tmp_path / "run" / "config.json").read_bytes()
  if before:
    make_module(text)
    look_again()  # the same model, made again
  make_module(text.replace(before, after, 1) if before else text)
  with pytest.raises(UserError, match=words) as refused:
    look_again()
  assert f"model={model}" in str(refused.value)
  assert str(refused.value).endswith("; name another workdir.")
  assert (tmp_path / "run" / "config.json").read_bytes() == noted


def test_generators_and_their_latents(tmp_path):
  latents = np.random.default_rng(0).normal(size=(4, 6, 1, 1)).astype(np.float32)

  def look_again(latents):
    np.savez(tmp_path / "z.npz", latents=latents)
    path = str(tmp_path / "z.npz")
    look(tmp_path / "run", model="changing:Gan", latents=path, image_size="")

  make_module(GENERATOR)
  look_again(latents)
  look_again(latents)
  with pytest.raises(UserError, match="latents: the latents changed"):
    look_again(latents + np.float32(1e-3))
  make_module(GENERATOR.replace("layer(l", "layer(-l"))
  with pytest.raises(UserError, match=OTHER):
    look_again(latents)


def test_weights_files(array, tmp_path):
  import torch

  make_module(TORCH)
  state = {"conv.weight": torch.ones(4, 3, 3, 3), "conv.bias": torch.zeros(4)}

  def look_again(path):
    torch.save(state, path)
    options = {"model": "changing:Net", "images": str(array), "layers": "conv"}
    look(tmp_path / "run", weights=str(path), **options)

  look_again(tmp_path / "weights.pt")
  look_again(tmp_path / "moved.pth")
  state["conv.bias"][3] = 0.5
  with pytest.raises(UserError, match=r"weights=.*weights.pt: 1 of 3 .*first conv.b"):
    look_again(tmp_path / "weights.pt")


def test_onnx_files(array, tmp_path):
  onnx = pytest.importorskip("onnx")
  pytest.importorskip("onnxruntime")
  from onnx import TensorProto, helper, numpy_helper

  def look_again(value, name="net.onnx", bias=0.0):
    weights = np.full((4, 3, 3, 3), value, np.float32)
    graph = helper.make_graph(
      [helper.make_node("Conv", ["x", "w", "b"], ["y"])],
      "net",
      [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3, 16, 16])],
      [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
      [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(np.full(4, bias, np.float32), "b"),
      ],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    # onnx would add to it.
    (tmp_path / "the.weights").unlink(missing_ok=True)
    onnx.save(
      model,
      tmp_path / name,
      save_as_external_data=True,
      location="the.weights",
      size_threshold=100,
    )
    (tmp_path / f"{name}.bak").write_text(name)  # is not part of it
    model = str(tmp_path / name)
    look(tmp_path / "run", model=model, images=str(array), image_size="")

  look_again(1.0)
  look_again(1.0, "moved.onnx")
  with pytest.raises(UserError, match=r"net.onnx: 1 of 2 files .*first the.weights"):
    look_again(2.0)
  with pytest.raises(UserError, match=r"1 of 2 files of the model .*the ONNX file"):
    look_again(1.0, bias=1.0)


def test_transformers_folders(array, tmp_path):
  transformers = pytest.importorskip("transformers")
  import torch

  torch.manual_seed(0)
  config = transformers.ViTConfig(
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=8,
    image_size=16,
    patch_size=8,
  )
  network = transformers.ViTModel(config, add_pooling_layer=False)
  folder = tmp_path / "vit"
  size = {"height": 16, "width": 16}
  processor = transformers.ViTImageProcessor(size=size)

  def look_again(folder=folder):
    look(tmp_path / "run", model=str(folder), images=str(array), image_size="")

  def save():
    network.save_pretrained(folder)
    processor.save_pretrained(folder)

  save()
  look_again()
  shutil.copytree(folder, tmp_path / "copy")
  look_again(tmp_path / "copy")
  path = folder / "config.json"
  path.write_text(path.read_text().replace('"gelu"', '"relu"'))
  with pytest.raises(UserError, match=r"files of the model changed.*config.json"):
    look_again()
  next(network.parameters()).data += 0.01
  save()
  with pytest.raises(UserError, match=r"1 of \d+ parameters changed"):
    look_again()


class Pictures:
  """A folder of pictures that is looked at again and again."""

  def __init__(self, folder, workdir):
    self.folder, self.workdir = folder, workdir
    for number in range(20):
      self.write(f"{number % 2}/{number:02}.png", number)

  def write(self, name, value):
    path = self.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (value, 0, 0)).save(path)

  def look(self, folder=None):
    make_module(FUNCTION)
    images = str(folder or self.folder)
    return look(self.workdir, model="changing:net", images=images)


@pytest.fixture
def pictures(tmp_path):
  found = Pictures(tmp_path / "pictures", tmp_path / "run")
  found.look()
  return found


def test_pictures_that_are_the_same(pictures, tmp_path, monkeypatch):
  pictures.look()
  for path in pictures.folder.rglob("*.png"):
    path.touch()
  pictures.look()
  shutil.copytree(pictures.folder, tmp_path / "copy")
  pictures.look(tmp_path / "copy")
  monkeypatch.chdir(pictures.folder)
  pictures.look("../pictures")
  (pictures.folder / "notes.txt").write_text("no picture")
  pictures.look()


def test_pictures_that_are_others(pictures):
  # Of the same size, and with the old times.
  for number in (3, 4, 9):
    path = pictures.folder / f"{number % 2}/{number:02}.png"
    about = path.stat()
    pictures.write(path.relative_to(pictures.folder), 100 + number)
    assert path.stat().st_size == about.st_size
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
  with pytest.raises(
    UserError, match=r"images: 3 of 20 pictures changed since.*first 0/04.png; name"
  ):
    pictures.look()
  for number in (3, 4, 9):
    pictures.write(f"{number % 2}/{number:02}.png", number)
  pictures.look()  # they are back
  (pictures.folder / "1/09.png").rename(pictures.folder / "1/99.png")
  with pytest.raises(UserError, match=r"1 of 20 pictures gone, 1 picture added since"):
    pictures.look()
  (pictures.folder / "1/99.png").rename(pictures.folder / "1/09.png")
  (pictures.folder / "1/09.png").write_bytes(b"")
  with pytest.raises(UserError, match=r"1 of 20 pictures changed.*first 1/09.png"):
    pictures.look()
  (pictures.workdir / "inputs.npz").unlink()
  with pytest.raises(UserError, match="the pictures are not those that this run began"):
    pictures.look()


def test_a_file_with_its_old_size_and_times_is_not_read_again(pictures, monkeypatch):
  read = []
  real = hashlib.file_digest
  monkeypatch.setattr(
    hashlib,
    "file_digest",
    lambda file, kind: read.append(file.name) or real(file, kind),
  )
  pictures.look()
  # Written only just now, they might have been written to since.
  assert len(read) == 20
  read.clear()
  later = (pictures.workdir / "inputs.npz").stat().st_mtime_ns + 3 * 10**9
  os.utime(pictures.workdir / "inputs.npz", ns=(later, later))
  pictures.look()
  assert read == []
  pictures.write("0/04.png", 104)
  with pytest.raises(UserError, match=r"first 0/04.png"):
    pictures.look()
  assert len(read) == 1


def test_arrays_of_images(array, tmp_path):
  make_module(FUNCTION)

  def look_again(path):
    look(tmp_path / "run", model="changing:net", images=str(path))

  look_again(array)
  shutil.copy(array, tmp_path / "copy.npy")
  look_again(tmp_path / "copy.npy")
  images = np.load(array)
  images[-1, -1, -1, -1] ^= 1
  np.save(array, images)
  with pytest.raises(UserError, match="images: the array changed since"):
    look_again(array)


def test_damaged_tables_mean_that_files_are_read_again(pictures):
  path = pictures.workdir / "inputs.npz"
  whole = path.read_bytes()
  for change in (b"", whole[:-40], whole.replace(b"0/04.png", b"0/0X.png")):
    path.write_bytes(change)
    pictures.look()


def test_the_files_of_exemplars_in_the_originals_layout(tmp_path):
  for name in ("a/b/images.npy", "a/b/masks.npy", "a/b/ids.csv", "c/images.npy"):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(name)
  (tmp_path / "c" / "viz.png").write_text("no part of it")
  found = exemplar_files(tmp_path)
  assert [name for name, _ in found] == [
    *("a/b/images.npy", "a/b/masks.npy", "a/b/ids.csv", "c/images.npy")
  ]
  assert [path.read_text() for _, path in found] == [name for name, _ in found]
