"""Hooks on a torch module's submodules, and storage of the tensors they return."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
  from _typeshed import DataclassInstance


@contextmanager
def hooked(
  module: nn.Module,
  names: Iterable[str],
  *,
  before: Callable[[str, int, list[Any]], None] | None = None,
  after: Callable[[str, int, Any], None] | None = None,
) -> Iterator[Counter[str]]:
  """Adds hooks to submodules within the block, and removes them at its end.

  Args:
    module: the module.
    names: dotted names of its submodules.
    before: called with a submodule's name, its number of earlier calls, and its
      arguments.
    after: called with the same, but with the result instead of the arguments.

  Yields:
    The number of completed calls of each submodule so far.
  """
  begun: Counter[str] = Counter()
  ended: Counter[str] = Counter()
  handles = []

  def listen(name: str) -> None:
    def begin(
      _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
      begun[name] += 1
      if before:
        before(name, begun[name] - 1, [*args, *kwargs.values()])

    def end(_module: nn.Module, _args: tuple[Any, ...], value: Any) -> None:
      ended[name] += 1
      if after:
        after(name, ended[name] - 1, value)

    part = module.get_submodule(name)
    handles.append(part.register_forward_pre_hook(begin, with_kwargs=True))
    handles.append(part.register_forward_hook(end))

  try:
    for name in names:
      listen(name)
    yield ended
  finally:
    for handle in handles:
      handle.remove()


def tensors_in(
  value: object, path: tuple[Any, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], torch.Tensor]]:
  """The tensors of real numbers in a module's result, with their paths of keys.

  These are floating-point tensors and quantized ones. Keys are those of mappings,
  indices of sequences and fields of dataclasses.
  """
  if isinstance(value, torch.Tensor):
    if value.is_floating_point() or value.is_quantized:
      yield path, value
  elif isinstance(value, Mapping):
    for key, item in value.items():
      yield from tensors_in(item, (*path, key))
  elif isinstance(value, tuple | list):
    for index, item in enumerate(value):
      yield from tensors_in(item, (*path, index))
  elif _is_record(value):
    for field in dataclasses.fields(value):
      yield from tensors_in(getattr(value, field.name, None), (*path, field.name))


def tensor_at(value: Any, path: Sequence[Any]) -> torch.Tensor:
  """The tensor in a module's result at a path of keys; a quantized one as floats."""
  for key in path:
    value = getattr(value, key) if _is_record(value) else value[key]
  tensor: torch.Tensor = value.dequantize() if value.is_quantized else value
  return tensor


def kinds_in(value: object) -> str:
  """What a result is, in words: `a tensor of int64`, `a tuple`."""
  if isinstance(value, torch.Tensor):
    return f"a tensor of {str(value.dtype).removeprefix('torch.')}"
  return "None" if value is None else f"a {type(value).__name__}"


def _is_record(value: Any) -> "TypeGuard[DataclassInstance]":
  """Whether it is a dataclass whose fields are reached by their names alone."""
  known = isinstance(value, torch.Tensor | Mapping | tuple | list | type)
  return dataclasses.is_dataclass(value) and not known


@dataclasses.dataclass(frozen=True, slots=True)
class StoredTensor:
  """A tensor, and its version when it was stored; views share a version counter.

  Tensors of `torch.inference_mode` have no version and are copied. Operations on
  `tensor.data`, on a NumPy array of the same memory, or of an extension do not count
  versions; a sum of the values shows most of them.
  """

  tensor: torch.Tensor
  version: int | None
  total: float | None = None

  @classmethod
  def of(
    cls, tensor: torch.Tensor, *, copy: bool = False, with_sum: bool = False
  ) -> "StoredTensor":
    """Stores a tensor, or a copy; `with_sum` also stores the sum of its values."""
    if copy or tensor.is_inference():
      return cls(tensor.detach().clone(), None)
    return cls(tensor, tensor._version, _sum(tensor) if with_sum else None)

  @property
  def overwritten(self) -> bool:
    """Whether a later in-place operation modified it."""
    if self.version is None:
      return False
    if self.tensor._version != self.version:
      return True
    # NaN stays NaN.
    return self.total is not None and not np.array_equal(
      self.total, _sum(self.tensor), equal_nan=True
    )

  def is_same(self, tensor: torch.Tensor) -> bool:
    """Whether it is the same tensor, unmodified since."""
    return self.tensor is tensor and not self.overwritten


def _sum(tensor: torch.Tensor) -> float:
  return float(tensor.detach().sum(dtype=torch.float64))


def changes_inputs(
  run: Callable[[Sequence[torch.Tensor]], object], inputs: Sequence[torch.Tensor]
) -> bool:
  """Runs a model on copies of its inputs; returns whether it modified them in place."""
  copies = [one.clone() for one in inputs]
  run(copies)
  pairs = zip(inputs, copies, strict=True)
  return not all(torch.equal(before, after) for before, after in pairs)


def read_unmodified(
  read: Callable[[], dict[str, StoredTensor]], overwritten: set[str]
) -> dict[str, torch.Tensor]:
  """Reads tensors without later in-place modifications.

  Args:
    read: runs the model and stores its tensors; must copy those in `overwritten`.
    overwritten: names of tensors known to be modified in place; if this run finds more,
      they are added and the model runs again.
  """
  kept = read()
  more = {name for name, one in kept.items() if one.overwritten}
  if more:
    overwritten |= more
    kept = read()
  return {name: one.tensor for name, one in kept.items()}
