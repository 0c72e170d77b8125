"""The network to describe, from what the user wrote: one way in for each kind."""

import pathlib

from milan_jax.errors import UserError
from milan_jax.models.backbones import backbone, params_from_state_dict
from milan_jax.pipeline.named_network import named_network
from milan_jax.pipeline.wishes import Network, Wishes, missing, network_of
from milan_jax.probe.flax_backbone import FlaxProbe
from milan_jax.store.packaged_weights import packaged_weights
from milan_jax.store.torch_files import read_state_dict

TRANSFORMERS = "transformers:"


def open_network(model: str, wishes: Wishes) -> Network:
  """Finds a network.

  Args:
    model: a backbone's name; the path of an ONNX file (`.onnx`) or of a program that
      torch exported (`.pt2`); `transformers:NAME` or the folder of a transformers
      model; or `package.module:name` of a model or of a function that makes one.
    wishes: what else the user said of it.

  Raises:
    UserError: no such network, or something that it does not fit.
  """
  if model.startswith(TRANSFORMERS) or (pathlib.Path(model) / "config.json").is_file():
    _refuse(model, wishes, "weights", "image_size", "mean", "std", "latents")
    return _transformers(model.removeprefix(TRANSFORMERS), wishes)
  if model.endswith(".onnx"):
    _refuse(model, wishes, "weights", "latents")
    return _onnx(model, wishes)
  if model.endswith(".pt2"):
    _refuse(model, wishes, "weights", "latents")
    return _program(model, wishes)
  if ":" in model:
    return named_network(model, wishes)
  _refuse(model, wishes, "mean", "std", "layouts", "latents")
  return _backbone(model, wishes)


def _refuse(model: str, wishes: Wishes, *options: str) -> None:
  """Raises UserError if the user set what a kind of model brings itself."""
  given = [f"--{name}" for name in options if getattr(wishes, name)]
  if given:
    raise UserError(
      f"{', '.join(given)}: --model={model} brings its own, or has none; leave it out."
    )


def _backbone(model: str, wishes: Wishes) -> Network:
  network = backbone(model)
  path = pathlib.Path(wishes.weights) if wishes.weights else packaged_weights(model)
  params = params_from_state_dict(model, read_state_dict(path))
  prepared = wishes.preprocessing(network.preprocessing)
  probe = FlaxProbe(network, params, prepared.crop)
  return network_of(probe, prepared, network.default_layers)


def _onnx(model: str, wishes: Wishes) -> Network:
  try:
    from milan_jax.probe.onnx_file import OnnxProbe
  except ImportError as error:
    raise missing(model, "onnx") from error
  prepared = wishes.preprocessing()
  probe = OnnxProbe(
    model,
    wishes.image_size or None,
    mean=prepared.mean,
    std=prepared.std,
    layouts=wishes.read_layouts(),
    before_clip=wishes.before_clip,
  )
  return network_of(probe, wishes.preprocessing(size=probe.image_size))


def _program(model: str, wishes: Wishes) -> Network:
  try:
    from milan_jax.probe.torch_program import ProgramProbe
  except ImportError as error:
    raise missing(model, "torch") from error
  prepared = wishes.preprocessing()
  probe = ProgramProbe(
    model,
    wishes.image_size or None,
    mean=prepared.mean,
    std=prepared.std,
    device=wishes.torch_device or None,
    layouts=wishes.read_layouts(),
    before_clip=wishes.before_clip,
  )
  return network_of(probe, wishes.preprocessing(size=probe.image_size))


def _transformers(model: str, wishes: Wishes) -> Network:
  try:
    from milan_jax.probe.torch_weights import default_device
    from milan_jax.probe.transformers_model import transformers_network
  except ImportError as error:
    raise missing(model, "torch,transformers") from error
  probe, prepared = transformers_network(
    model,
    device=wishes.torch_device or default_device(),
    layouts=wishes.read_layouts(),
    before_clip=wishes.before_clip,
  )
  return network_of(probe, prepared)
