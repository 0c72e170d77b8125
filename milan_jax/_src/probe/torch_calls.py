"""Listening to a torch module's submodules, and keeping what they return."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def watched(
  module: nn.Module,
  names: Iterable[str],
  *,
  before: Callable[[str, int, list[Any]], None] | None = None,
  after: Callable[[str, int, Any], None] | None = None,
) -> Iterator[Counter[str]]:
  """Listens to the calls of submodules, and is gone afterwards.

  Args:
    module: the module.
    names: dotted names of its submodules.
    before: takes a submodule's name, how many times it was called before, and its
      arguments.
    after: takes the same, with what it returns in place of the arguments.

  Yields:
    How many times each submodule was called so far.
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
  """The floating tensors in what a module returns, and the keys that lead to them."""
  if isinstance(value, torch.Tensor):
    if value.is_floating_point():
      yield path, value
  elif isinstance(value, Mapping):
    for key, item in value.items():
      yield from tensors_in(item, (*path, key))
  elif isinstance(value, tuple | list):
    for index, item in enumerate(value):
      yield from tensors_in(item, (*path, index))


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
  """A tensor, and the version of its memory when it was kept; views share theirs.

  Tensors of `torch.inference_mode` have no version: they are copied.
  """

  tensor: torch.Tensor
  version: int | None

  @classmethod
  def of(cls, tensor: torch.Tensor, *, copy: bool = False) -> "Kept":
    """Keeps a tensor, or a copy of it."""
    if copy or tensor.is_inference():
      return cls(tensor.detach().clone(), None)
    return cls(tensor, tensor._version)

  @property
  def overwritten(self) -> bool:
    """Whether something later worked in place on it."""
    return self.version is not None and self.tensor._version != self.version

  def holds(self, tensor: torch.Tensor) -> bool:
    """Whether it is this very tensor, as it was kept."""
    return self.tensor is tensor and not self.overwritten


def not_overwritten(
  read: Callable[[], dict[str, Kept]], overwritten: set[str]
) -> dict[str, torch.Tensor]:
  """Reads tensors as they were when they were given.

  Args:
    read: runs the model and keeps its tensors; must copy those in `overwritten`.
    overwritten: names of tensors that were seen to be worked on in place; those of this
      run are added, and it is run again then.
  """
  kept = read()
  more = {name for name, one in kept.items() if one.overwritten}
  if more:
    overwritten |= more
    kept = read()
  return {name: one.tensor for name, one in kept.items()}
