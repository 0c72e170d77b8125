"""Networks given as `package.module:name`: finds a probe for the kind of model."""

import contextlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn

from milan_jax._src.errors import UserError
from milan_jax._src.images.preprocessing import TORCHVISION, Preprocessing
from milan_jax._src.probe.callable_model import CallableProbe
from milan_jax._src.probe.jax_model import JaxProbe
from milan_jax._src.probe.linen_module import LinenProbe
from milan_jax._src.probe.model_options import (
  ModelRequest,
  Network,
  make_network,
  reject_options,
)
from milan_jax._src.probe.named_object import named_model
from milan_jax._src.probe.probe_checks import check_probe
from milan_jax._src.probe.protocol import Probe
from milan_jax._src.runs.progress import say
from milan_jax._src.weights.state_dicts import read_state_dict

_EXPECTED = (
  "a torch.nn.Module, an exported torch program, a pair of a Flax Linen module and its "
  "variables, a Flax NNX module, a function of images that returns activations, "
  "a Probe, or a Network; or a function without arguments that returns one"
)

# Keras with any backend: with torch, a Keras model is also a torch module, but its
# input layout differs.
_KERAS = ("keras", "keras_core", "tf_keras")
_KERAS_REMEDY = """\
give a function of images that returns the outputs of its layers by name, and set \
KERAS_BACKEND=jax; for a functional model, for example
parts = {layer.name: layer.output for layer in model.layers}
inside = keras.Model(model.inputs, parts)
network = lambda images: inside(images, training=False)"""


def named_network(request: ModelRequest) -> Network:
  """Finds the model of a name, and a probe for its kind.

  Args:
    request: the model's options; `name` is `package.module:name`.

  Raises:
    UserError: if it does not exist or is not a model, or an option does not apply to
      it.
  """
  model = request.name
  found, is_factory = named_model(model)
  network = network_from(found, request)
  if request.weights:
    return network.weights_from(request.weights_source())
  if not is_factory:
    return network.weights_from(f"the object {model}")
  return network.weights_from(f"the factory {model} (random if it loads no weights)")


def network_from(found: Any, request: ModelRequest) -> Network:
  """Finds a probe for a model's kind.

  Args:
    found: the model.
    request: the model's options; `name` is its name in messages.

  Raises:
    UserError: if it is not a model, or an option does not apply to it.
  """
  model = request.name
  first = found[0] if isinstance(found, tuple) and len(found) == 2 else found
  if isinstance(first, type):
    raise UserError(
      f"--model={model} is the class {first.__name__}: give an instance of it, or a "
      "function that returns one."
    )
  if isinstance(found, Network | Probe):
    return _ready(found, request)
  if any(kind.__module__.split(".")[0] in _KERAS for kind in type(found).__mro__):
    raise UserError(f"--model={model} is a Keras model: {_KERAS_REMEDY}")
  torch = sys.modules.get("torch")
  if torch and isinstance(found, torch.nn.Module):
    return _torch(model, found, request)
  if request.weights:
    raise UserError(
      f"--weights is for torch modules, and --model={model} is not one: load them "
      "where the model is created."
    )
  if request.latents is not None:
    return _jax_generator(model, found, request)
  layouts = request.read_layouts()
  linen = _linen_pair(model, found)
  if linen is not None:
    return _flax(lambda how: LinenProbe(*linen, how, layouts=layouts), request)
  nnx = sys.modules.get("flax.nnx")  # already imported if there is an NNX module
  if nnx and isinstance(found, nnx.Module):
    from milan_jax._src.probe.nnx_module import NnxProbe

    return _flax(lambda how: NnxProbe(found, how, layouts=layouts), request)
  if torch and isinstance(found, torch.export.ExportedProgram):
    return program_network(found, request)
  if callable(getattr(found, "activations", None)):
    check_probe(found)  # raises: it lacks a member
  if callable(found):
    prepared = request.preprocessing()
    probe = CallableProbe(found, prepared, layouts=layouts)
    if probe.trace_failure:
      say(
        f"{model} cannot be traced by JAX ({probe.trace_failure}): it runs "
        "uncompiled, and computes all layers for every batch"
      )
    return make_network(probe, prepared)
  raise UserError(
    f"--model={model}: expected {_EXPECTED}; found a {type(found).__name__}."
  )


def _ready(found: Network | Probe, request: ModelRequest) -> Network:
  """Returns the network of what needs no probe, and refuses options that it ignores."""
  model = request.name
  reject_options(model, request, "weights", "image_size", "mean", "std", "layouts")
  if request.prepared is not None:
    raise UserError(
      f"preprocessing: --model={model} has its own or needs none; omit it."
    )
  if isinstance(found, Network):
    return found
  check_probe(found)
  channels = getattr(found, "channels", 0)
  prepared = request.preprocessing(size=found.image_size, channels=channels)
  return make_network(found, prepared)


def _linen_pair(model: str, found: Any) -> tuple[nn.Module, Mapping[str, Any]] | None:
  """Returns a Linen module and its variables; None if it is another kind of model.

  Raises:
    UserError: if one of the two is missing or something else.
  """
  if isinstance(found, nn.Module):
    if found.scope is None:
      raise UserError(
        f"--model={model} is a Flax Linen module without its variables: expected the "
        "pair of both, such as module, module.init(key, images)."
      )
    found = found.unbind()
  if not (isinstance(found, tuple) and len(found) == 2):
    return None
  module, variables = found
  if isinstance(module, nn.Module) and isinstance(variables, Mapping):
    return module, variables
  if isinstance(module, nn.Module):
    raise UserError(
      f"--model={model}: expected the variables of {type(module).__name__} as "
      f"returned by module.init; found a {type(variables).__name__}."
    )
  if isinstance(variables, Mapping):
    raise UserError(
      f"--model={model}: variables are for Flax Linen modules only, and "
      f"{type(module).__name__} is not one: omit them."
    )
  return None


def program_network(program: Any, request: ModelRequest) -> Network:
  """The network of an exported torch program, or of the path of one."""
  from milan_jax._src.probe.torch_program import ProgramProbe
  from milan_jax._src.probe.torch_weights import torch_device

  probe = ProgramProbe(
    program,
    request.read_size(),
    mean=request.read_mean(),
    std=request.read_std(),
    # By default it stays on the device it was exported for.
    device=torch_device(request.torch_device or "") if request.torch_device else None,
    layouts=request.read_layouts(),
    before_clip=request.before_clip,
  )
  prepared = request.preprocessing(size=probe.image_size, channels=probe.channels)
  return make_network(probe, prepared)


def _flax(make: Callable[[Preprocessing], JaxProbe], request: ModelRequest) -> Network:
  """A Flax module; if it does not run on RGB, tries the channels of its kernels."""
  prepared = request.preprocessing()
  probe = make(prepared)
  try:
    return make_network(probe, prepared)
  except UserError:
    if request.channels:
      raise
    shapes = [array.shape for _, array in probe.parameters()]
    inputs = dict.fromkeys(shape[2] for shape in shapes if len(shape) == 4)
    for channels in inputs:
      with contextlib.suppress(UserError):
        prepared = request.preprocessing(channels=channels)
        return make_network(make(prepared), prepared)
    raise


def _torch(model: str, module: Any, request: ModelRequest) -> Network:
  from milan_jax._src.probe.torch_weights import (
    check_weights,
    load_weights,
    torch_device,
    weight_names,
  )
  from milan_jax._src.probe.torch_wrappers import unwrap_module

  module = unwrap_module(module, model)
  if request.weights:
    names = weight_names(module)
    load_weights(module, read_state_dict(request.weights, names, say=say), model)
  check_weights(module, model)
  device = torch_device(request.torch_device or "")
  layouts = request.read_layouts()
  if request.latents is not None:
    from milan_jax._src.probe.torch_generator import TorchGenerator

    generator = TorchGenerator(
      module,
      request.latents.latent_shape,
      classes=request.latents.has_classes,
      image_range=request.read_image_range(),
      device=device,
      layouts=layouts,
      before_clip=request.before_clip,
    )
    return make_network(generator, request.preprocessing(size=generator.image_size))
  from milan_jax._src.probe.torch_channels import infer_channels
  from milan_jax._src.probe.torch_module import TorchProbe

  channels = infer_channels(module, request.read_size() or TORCHVISION.crop, device)
  prepared = request.preprocessing(channels=channels or 0)
  probe = TorchProbe(
    module,
    prepared.crop,
    mean=prepared.mean,
    std=prepared.std,
    device=device,
    layouts=layouts,
    before_clip=request.before_clip,
  )
  return make_network(probe, prepared)


def _jax_generator(model: str, function: Any, request: ModelRequest) -> Network:
  from milan_jax._src.probe.jax_generator import JaxGenerator

  latents = request.latents
  if latents is None or not callable(function):
    raise UserError(
      f"--model={model}: expected a torch.nn.Module or a function of latents, found a "
      f"{type(function).__name__}."
    )
  generator = JaxGenerator(
    function,
    latents.latent_shape,
    classes=latents.has_classes,
    image_range=request.read_image_range(),
    layouts=request.read_layouts(),
  )
  return make_network(generator, request.preprocessing(size=generator.image_size))
