"""The layers of a torch module: the outputs of its submodules."""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from milan_jax._src.errors import UserError
from milan_jax._src.probe.layout import Layout
from milan_jax._src.probe.torch_calls import (
  StoredTensor,
  changes_inputs,
  hooked,
  kinds_in,
  read_unmodified,
  tensor_at,
  tensors_in,
)
from milan_jax._src.probe.torch_windows import Windows


@dataclasses.dataclass(frozen=True, slots=True)
class _Source:
  """The source of a layer's tensor.

  Attributes:
    module: the submodule's dotted name.
    call: its number of earlier calls in the same forward pass.
    path: indices and keys of the tensor in its result.
    clip: the bounds if its input is read instead of its output.
  """

  module: str
  call: int
  path: tuple[Any, ...] = ()
  clip: tuple[float, float] | None = None


class ModuleOutputs:
  """The layers of a module.

  A layer is one tensor of one call of a submodule. The first tensor has the submodule's
  dotted name, further ones are named `name[1]` or `name[hidden_states]`; if a submodule
  is called several times in a forward pass, its calls are named `name#0` and `name#1`.

  The tensor is what the submodule returned, even if the next one modifies it in place,
  such as `nn.ReLU(inplace=True)` after a batch norm. Only tensors that are found to be
  modified are copied. The same holds for the inputs of a model that changes them.

  A forward pass stops after the last of the requested layers.

  The output of `nn.ReLU6` or `nn.Hardtanh`, also as the last submodule of another, is
  read before the upper clip, so that large values still differ.

  Args:
    module: the model.
    before_clip: whether to read such layers before their upper clip.
  """

  def __init__(self, module: nn.Module, *, before_clip: bool = True):
    self._module = module
    self._before_clip = before_clip
    self._calls: Counter[str] = Counter()
    self._sources: dict[str, _Source] = {}
    self._known: dict[str, Layout] = {}
    self._returned: dict[str, str] = {}
    self._overwritten: set[str] = set()
    self._checked: set[str] = set()
    self._changes_inputs = False

  @property
  def known(self) -> Mapping[str, Layout]:
    """Layouts of layers inside windows, after `survey`."""
    return self._known

  @property
  def notes(self) -> dict[str, str]:
    """Remarks on how layers are read, by layer name, after `survey`."""
    return {
      name: f"before its clip at {source.clip[1]:g}"
      for name, source in self._sources.items()
      if source.clip
    }

  def survey(self, inputs: Sequence[torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Runs the module and returns the shapes of all layers, in the order of execution.

    Args:
      inputs: the module's arguments, batch first.
    """
    windows = Windows(self._module, len(inputs[0]))
    found: list[tuple[_Source, _Source, tuple[int, ...], Layout | None]] = []
    clips: list[tuple[StoredTensor, _Source]] = []

    def note(name: str, call: int, value: Any) -> None:
      self._returned[name] = kinds_in(value)
      bounds = _bounds(self._module.get_submodule(name)) if self._before_clip else None
      for path, tensor in tensors_in(value):
        if bounds and not tensor.is_quantized:
          clips.append((StoredTensor.of(tensor), _Source(name, call, clip=bounds)))
        own = _Source(name, call, path)
        # A parent module may return the output of a clip at its end.
        same = (one for kept, one in clips if kept.is_same(tensor))
        shape = tuple(tensor.shape)
        found.append((own, next(same, own), shape, windows.layout(name, shape)))

    names = [
      name
      for name, part in self._module.named_modules()
      if name and not isinstance(part, torch.jit.ScriptModule)  # they have no hooks
    ]

    def enter(name: str, call: int, arguments: list[Any]) -> None:
      windows.enter(name, arguments)

    with (
      torch.no_grad(),
      hooked(self._module, names, before=enter, after=note) as calls,
    ):
      self._changes_inputs = changes_inputs(lambda given: self._module(*given), inputs)
    self._calls = calls
    shapes = {}
    for own, source, shape, layout in found:
      name = own.module if calls[own.module] == 1 else f"{own.module}#{own.call}"
      if name in shapes:
        name += "".join(f"[{key}]" for key in own.path)
      shapes[name], self._sources[name] = shape, source
      if layout:
        self._known[name] = layout
    return shapes

  def read(
    self, inputs: Sequence[torch.Tensor], layers: Sequence[str]
  ) -> dict[str, torch.Tensor]:
    """Runs the module and returns the tensors of some layers; call `survey` first.

    Raises:
      UserError: if one is not a layer.
    """
    for name in layers:
      if name not in self._sources:
        raise UserError(self.absence(name) or f"The model has no module {name!r}.")
    found = read_unmodified(lambda: self._read(inputs, layers), self._overwritten)
    self._checked.update(layers)
    return found

  def _read(
    self, inputs: Sequence[torch.Tensor], layers: Sequence[str]
  ) -> dict[str, StoredTensor]:
    kept: dict[str, StoredTensor] = {}
    wanted = {name: self._sources[name] for name in layers}
    if self._changes_inputs:
      inputs = [one.clone() for one in inputs]

    def keep_input(module: str, call: int, arguments: list[Any]) -> None:
      for name, source in wanted.items():
        if (source.module, source.call) == (module, call) and source.clip:
          kept[name] = StoredTensor.of(arguments[0].clamp(min=source.clip[0]))
      stop_if_complete()

    def keep_output(module: str, call: int, value: Any) -> None:
      for name, source in wanted.items():
        if (source.module, source.call) == (module, call) and not source.clip:
          kept[name] = StoredTensor.of(
            tensor_at(value, source.path),
            copy=name in self._overwritten,
            with_sum=name not in self._checked,
          )
      stop_if_complete()

    def stop_if_complete() -> None:
      if len(kept) == len(wanted):
        raise _Complete

    modules = {source.module for source in wanted.values()}
    with (
      contextlib.suppress(_Complete),
      torch.no_grad(),
      hooked(self._module, modules, before=keep_input, after=keep_output),
    ):
      self._module(*inputs)
    return kept

  def absence(self, name: str) -> str:
    """Why a name is not a layer; empty if no module has it."""
    module = name.partition("#")[0].partition("[")[0]
    modules = dict(self._module.named_modules(remove_duplicate=False))
    if module not in modules or not module:
      return ""
    # A module that the model has under several names is listed under the first.
    own = next(one for one, part in modules.items() if part is modules[module])
    same = "" if own == module else f" is the same object as {own}, which"
    if not own:
      return f"Module {module} is the model itself: choose another."
    calls = self._calls[own]
    if not calls:
      return f"Module {module}{same} does not run for images: choose another."
    if calls > 1:
      names = ", ".join(f"{own}#{call}" for call in range(calls))
      return f"Module {module}{same} runs {calls} times: choose among {names}."
    if same:
      return f"Module {module}{same} is the layer's name."
    if not any(source.module == module for source in self._sources.values()):
      return (
        f"Module {module} returns {self._returned[module]}, in which no tensor of real "
        "numbers is found: choose another layer, or wrap the model so that it returns "
        "one."
      )
    return f"Module {module} returns no such tensor: --list_layers shows all layers."


class _Complete(BaseException):
  """Ends a forward pass when all layers are read; not caught by `except Exception`."""


def _bounds(module: nn.Module) -> tuple[float, float] | None:
  if isinstance(module, nn.Hardtanh):  # includes ReLU6
    return float(module.min_val), float(module.max_val)
  return None
