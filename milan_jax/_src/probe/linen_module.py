"""Any Flax Linen module, read by capturing the outputs of its submodules."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
from flax.errors import FlaxError
from jaxtyping import Array

from milan_jax._src.errors import UserError
from milan_jax._src.images.preprocessing import Preprocessing
from milan_jax._src.images.sizes import Size, size_text
from milan_jax._src.probe.jax_model import JaxProbe, one_line_error
from milan_jax._src.probe.jax_modules import inference_keywords, named_outputs
from milan_jax._src.probe.layout import Layout

# The suffix that `named_outputs` adds to a name.
_ENDING = re.compile(r"(#\d+)?(\[[^\[\]]*\])*$")


class LinenProbe(JaxProbe):
  """Reads what submodules return, and what is sown as `intermediates`.

  A layer's name is the path of its submodule, such as `backbone.block_1.conv`, followed
  by the name of the method if it is not `__call__`, or by the name of a sown value. The
  module's own result is `__call__`. Several calls and several arrays are named by
  `milan_jax._src.probe.jax_modules.named_outputs`.

  Args:
    module: the model. It is run in inference mode: options of the module or its
      `__call__` such as `train` or `deterministic` are set.
    variables: the module's parameters, and statistics if it has any.
    preprocessing: how its input images are prepared; their shape is `(batch, height,
      width, 3)`.
    pattern: a regular expression that the whole name of a layer must match.
    image_size: size of the images, in pixels; None takes `preprocessing.crop`.
    layouts: layouts of layers by name or glob, which override the guess.
    devices: devices to run on; None takes all of this process.
    special: number of leading tokens that are not patches, if known.
    call: runs the bound module on images, if `module(images)` in inference mode is not
      the right call: `lambda module, images: module.encode(images, train=False)`.
  """

  def __init__(
    self,
    module: nn.Module,
    variables: Mapping[str, Any],
    preprocessing: Preprocessing,
    *,
    pattern: str = ".*",
    image_size: Size | None = None,
    layouts: Mapping[str, Layout] | None = None,
    devices: Sequence[jax.Device] | None = None,
    special: int | None = None,
    call: Callable[[Any, Array], Any] | None = None,
  ):
    module = module if call else _in_inference(module)
    call = call or _call
    fits = re.compile(pattern).fullmatch

    def run(
      variables: Mapping[str, Any], images: Array, layers: tuple[str, ...] | None
    ) -> Mapping[str, Array]:
      wanted = None if layers is None else {_ENDING.sub("", name) for name in layers}

      def keep(part: nn.Module, method: str) -> bool:
        if method == "setup" or (method.startswith("_") and method != "__call__"):
          return False
        return wanted is None or _name(part.path, method) in wanted

      _, state = module.apply(
        variables,
        images,
        method=call,
        capture_intermediates=keep,
        mutable=["intermediates"],
      )
      found = dict(_captured(state.get("intermediates", {})))
      names = filter(fits, found) if layers is None else layers
      return {name: found[name] for name in names}

    # Intermediates of an earlier run would be mistaken for those of a first call.
    given = {name: tree for name, tree in variables.items() if name != "intermediates"}
    super().__init__(
      run,
      given,
      preprocessing,
      image_size=image_size,
      layouts=layouts,
      devices=devices,
      special=special,
    )

  def run_error(self, error: Exception) -> UserError:
    """The error to raise if the module raised one on trial images."""
    if "params" in self._params or not isinstance(error, FlaxError):
      return super().run_error(error)
    return UserError(
      f"The module does not run on images of {size_text(self.image_size)} pixels "
      f"({one_line_error(error)}): the variables have no collection 'params': give the "
      "result of module.init."
    )


def _call(module: nn.Module, images: Array) -> Any:
  return module(images, **inference_keywords(module.__call__))


def _in_inference(module: nn.Module) -> nn.Module:
  """The module with its inference attributes set."""
  # Flax accepts an option in one place only; arguments of a call come first.
  called = inference_keywords(module.__call__)
  options: dict[str, Any] = inference_keywords(type(module))
  return module.clone(**{name: options[name] for name in options if name not in called})


def _name(path: Sequence[str], method: str) -> str:
  return ".".join((*path, method) if method != "__call__" or not path else path)


def _captured(
  tree: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, Array]]:
  # A module's entry is created when its first submodule returns, so that the tree is in
  # the order of execution.
  for key, value in tree.items():
    if isinstance(value, Mapping):
      yield from _captured(value, (*path, key))
    else:
      calls = value if isinstance(value, tuple) else (value,)
      yield from named_outputs(_name(path, key), calls)
