"""Opens the network that the options specify: one function for each kind."""

import importlib.util
import pathlib

from milan_jax._src.errors import UserError
from milan_jax._src.models.backbones import (
  backbone,
  backbone_names,
  has_head,
  params_from_state_dict,
  weight_names,
)
from milan_jax._src.probe.flax_backbone import FlaxProbe
from milan_jax._src.probe.model_kinds import named_network, program_network
from milan_jax._src.probe.model_options import (
  ModelRequest,
  Network,
  make_network,
  missing_libraries,
  reject_options,
)
from milan_jax._src.runs.progress import say
from milan_jax._src.weights.packaged_weights import package_of, packaged_weights
from milan_jax._src.weights.state_dicts import check_floats, read_state_dict

TRANSFORMERS = "transformers:"


def open_network(request: ModelRequest) -> Network:
  """Opens a network.

  Args:
    request: its options; `name` is a backbone's name; the path of an ONNX file
      (`.onnx`) or of an exported torch program (`.pt2`); `transformers:NAME` or the
      folder of a transformers model; or `package.module:name` of a model or of a
      function that creates one.

  Raises:
    UserError: if there is no such network, or an option does not apply to it.
  """
  model = request.name
  if model in backbone_names():
    # Before folders: a run's folder may have a backbone's name.
    reject_options(model, request, "mean", "std", "layouts", "latents")
    network = _backbone(model, request)
    package = f"the package {package_of(model)}"
    return network.weights_from(
      request.weights_source() if request.weights else package
    )
  if model.startswith(TRANSFORMERS) or (pathlib.Path(model) / "config.json").is_file():
    reject_options(model, request, "weights", "image_size", "mean", "std", "latents")
    name = model.removeprefix(TRANSFORMERS)
    network = _transformers(name, request)
    folder = pathlib.Path(name).is_dir()
    what = "transformers folder" if folder else "transformers model"
    return network.weights_from(f"the {what} {name}")
  if model.endswith(".onnx"):
    reject_options(model, request, "weights", "latents")
    return _onnx(model, request).weights_from(f"the ONNX file {model}")
  if model.endswith(".pt2"):
    reject_options(model, request, "weights", "latents")
    network = _program(model, request)
    return network.weights_from(f"the exported program {model}")
  if ":" in model:
    return named_network(request)
  if pathlib.Path(model).is_dir():
    raise UserError(
      f"--model={model} is a folder without a config.json: expected a folder written "
      "by save_pretrained of a transformers model."
    )
  return _backbone(model, request)


def _backbone(model: str, request: ModelRequest) -> Network:
  network = backbone(model)
  path = pathlib.Path(request.weights) if request.weights else packaged_weights(model)
  state_dict = read_state_dict(path, weight_names(model), say=say)
  counters = ".num_batches_tracked"
  check_floats(state_dict, {k for k in state_dict if not k.endswith(counters)}, model)
  head = has_head(model, state_dict)
  if not head:
    say(f"{path} has no classifier: its layers are not available")
  params = params_from_state_dict(model, state_dict, head=head)
  prepared = request.preprocessing(network.preprocessing)
  probe = FlaxProbe(network, params, prepared.crop, before_clip=request.before_clip)
  return make_network(probe, prepared, network.default_layers)


def _onnx(model: str, request: ModelRequest) -> Network:
  try:
    from milan_jax._src.probe.onnx_file import OnnxProbe
  except ImportError as error:
    raise missing_libraries(model, "onnx") from error
  probe = OnnxProbe(
    model,
    request.read_size(),
    mean=request.read_mean(),
    std=request.read_std(),
    layouts=request.read_layouts(),
    before_clip=request.before_clip,
  )
  prepared = request.preprocessing(size=probe.image_size, channels=probe.channels)
  return make_network(probe, prepared)


def _program(model: str, request: ModelRequest) -> Network:
  if importlib.util.find_spec("torch") is None:
    raise missing_libraries(model, "torch")
  return program_network(model, request)


def _transformers(model: str, request: ModelRequest) -> Network:
  try:
    from milan_jax._src.probe.torch_weights import torch_device
    from milan_jax._src.probe.transformers_model import transformers_network
  except ImportError as error:
    raise missing_libraries(model, "torch,transformers") from error
  probe, prepared = transformers_network(
    model,
    device=torch_device(request.torch_device or ""),
    layouts=request.read_layouts(),
    before_clip=request.before_clip,
  )
  return make_network(probe, prepared)
