"""Any Flax Linen module, read by what it captures of its parts."""

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
from milan_jax._src.probe.jax_model import JaxProbe, in_a_line
from milan_jax._src.probe.jax_modules import inference_keywords, named_outputs
from milan_jax._src.probe.layout import Layout

# What `named_outputs` adds to a name.
_ENDING = re.compile(r"(#\d+)?(\[[^\[\]]*\])*$")


class LinenProbe(JaxProbe):
  """What the parts of a module return, and what it sows as `intermediates`.

  A layer's name is the path of its module, as `backbone.block_1.conv`; of a method
  other than `__call__` with the method's name behind it, and so is what is sown. The
  module's own result is `__call__`. Several calls and several arrays are named as
  `milan_jax._src.probe.jax_modules.named_outputs` tells.

  Args:
    module: the model. It is run in inference: where it or its `__call__` has an option
      such as `train` or `deterministic`, the option is set.
    variables: of the module: its parameters, and statistics if it has any.
    preprocessing: how it wants its images; they go in as `(batch, height, width, 3)`.
    pattern: a regular expression that the whole name of a layer must match.
    image_size: of the images, in pixels; None takes `preprocessing.crop`.
    layouts: of layers by name or glob, where the guess would be wrong.
    devices: what to run on; None takes all of this process.
    special: tokens in front that are not patches, if the layers have any.
    call: runs the bound module on images, where `module(images)` with inference set is
      not right: `lambda module, images: module.encode(images, train=False)`.
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

    # Those of another run would be taken for a first call's.
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

  def does_not_run(self, error: Exception) -> UserError:
    """What to raise when a trial of the module raised something."""
    if "params" in self._params or not isinstance(error, FlaxError):
      return super().does_not_run(error)
    return UserError(
      f"The module does not run on images of {size_text(self.image_size)} pixels "
      f"({in_a_line(error)}): the variables lack the collection 'params': give what "
      "module.init returned."
    )


def _call(module: nn.Module, images: Array) -> Any:
  return module(images, **inference_keywords(module.__call__))


def _in_inference(module: nn.Module) -> nn.Module:
  """The module with the options among its attributes set."""
  # Flax wants an option in one place, and a call's comes first.
  called = inference_keywords(module.__call__)
  options: dict[str, Any] = inference_keywords(type(module))
  return module.clone(**{name: options[name] for name in options if name not in called})


def _name(path: Sequence[str], method: str) -> str:
  return ".".join((*path, method) if method != "__call__" or not path else path)


def _captured(
  tree: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, Array]]:
  # A module's entry is made when the first of its parts returns, so that the
  # tree's order is that of execution.
  for key, value in tree.items():
    if isinstance(value, Mapping):
      yield from _captured(value, (*path, key))
    else:
      calls = value if isinstance(value, tuple) else (value,)
      yield from named_outputs(_name(path, key), calls)
