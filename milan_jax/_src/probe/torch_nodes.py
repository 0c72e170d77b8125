"""The layers of an exported torch program: the nodes of its graph."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import fx

from milan_jax._src.errors import UserError
from milan_jax._src.probe.layout import Layout
from milan_jax._src.probe.torch_calls import (
  StoredTensor,
  changes_inputs,
  read_unmodified,
)

_CLIPS = ("hardtanh", "clamp", "clip", "clamp_max")


class NodeOutputs:
  """The layers of a program.

  A layer is a node that outputs a floating-point tensor and depends on the input. The
  result of a submodule of the exported module has the submodule's dotted name, or
  `name#0`, `name#1` if it was called several times; other nodes have the node's name.

  The output of a clip is read before the upper bound, so that large values still
  differ.

  Args:
    graph: the program, as a module.
    before_clip: whether to read such layers before their upper bound.
  """

  def __init__(self, graph: fx.GraphModule, *, before_clip: bool = True):
    self._graph = graph
    self._before_clip = before_clip
    self._nodes = _named_nodes(graph.graph)
    self._overwritten: set[str] = set()
    self._changes_inputs = False

  @property
  def known(self) -> Mapping[str, Layout]:
    """Empty: a program has no attributes that describe windows."""
    return {}

  @property
  def notes(self) -> dict[str, str]:
    """Remarks on how layers are read, by layer name."""
    bounds = {name: self._bounds(node) for name, node in self._nodes.items()}
    return {
      name: f"before its clip at {pair[1]:g}" for name, pair in bounds.items() if pair
    }

  def survey(self, inputs: Sequence[torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Runs the program and returns the shapes of all layers, in graph order."""
    found: dict[fx.Node, tuple[int, ...]] = {}

    def note(node: fx.Node, value: torch.Tensor) -> None:
      found[node] = tuple(value.shape)

    with torch.no_grad():
      reader = _Reader(self._graph, set(self._nodes.values()), after=note)
      self._changes_inputs = changes_inputs(lambda given: reader.run(*given), inputs)
    return {name: found[node] for name, node in self._nodes.items()}

  def read(
    self, inputs: Sequence[torch.Tensor], layers: Sequence[str]
  ) -> dict[str, torch.Tensor]:
    """Runs the program up to the last of some layers, and returns their tensors.

    Raises:
      UserError: if one is not a layer.
    """
    for name in layers:
      if name not in self._nodes:
        raise UserError(
          f"The program has no layer {name!r}: --list_layers shows all layers."
        )
    return read_unmodified(lambda: self._read(inputs, layers), self._overwritten)

  def absence(self, name: str) -> str:
    """Empty: the nodes with real numbers are all layers."""
    del name
    return ""

  def _read(
    self, inputs: Sequence[torch.Tensor], layers: Sequence[str]
  ) -> dict[str, StoredTensor]:
    kept: dict[str, StoredTensor] = {}
    wanted: dict[fx.Node, list[str]] = {}
    if self._changes_inputs:
      inputs = [one.clone() for one in inputs]
    for name in layers:
      wanted.setdefault(self._nodes[name], []).append(name)

    def keep_input(node: fx.Node, value: Any) -> None:
      bounds = self._bounds(node)
      if bounds:
        one = StoredTensor.of(value.clamp(min=bounds[0]))
        kept.update(dict.fromkeys(wanted[node], one))

    def keep_output(node: fx.Node, value: torch.Tensor) -> None:
      if not self._bounds(node):
        copy = not self._overwritten.isdisjoint(wanted[node])
        kept.update(dict.fromkeys(wanted[node], StoredTensor.of(value, copy=copy)))

    with torch.no_grad():
      reader = _Reader(self._graph, wanted, before=keep_input, after=keep_output)
      reader.run(*inputs)
    return kept

  def _bounds(self, node: fx.Node) -> tuple[float, float] | None:
    return _bounds(node) if self._before_clip else None


class _Reader(fx.Interpreter):
  """Runs a graph up to the last of some nodes.

  Args:
    graph: the graph.
    nodes: the nodes.
    after: called with each of them and its result.
    before: called with each of them and its first argument.
  """

  def __init__(
    self,
    graph: fx.GraphModule,
    nodes: Collection[fx.Node],
    *,
    after: Callable[[fx.Node, torch.Tensor], None],
    before: Callable[[fx.Node, Any], None] = lambda node, value: None,
  ):
    super().__init__(graph)
    self._wanted = set(nodes)
    self._after, self._before = after, before

  def run_node(self, n: fx.Node) -> Any:
    """Runs a node, unless all nodes have been read."""
    if not self._wanted:
      return None
    if n not in self._wanted:
      return super().run_node(n)
    arguments, _ = self.fetch_args_kwargs_from_env(n)
    self._before(n, arguments[0] if arguments else None)
    value = super().run_node(n)
    self._after(n, value)
    self._wanted.remove(n)
    return value


def _named_nodes(graph: fx.Graph) -> dict[str, fx.Node]:
  """The nodes that are layers, by each of their names, in graph order."""
  reachable: dict[fx.Node, None] = {}
  for node in graph.nodes:
    if node.op == "placeholder" or any(
      one in reachable for one in node.all_input_nodes
    ):
      reachable[node] = None
  layers = [
    node for node in reachable if node.op == "call_function" and _is_layer(node)
  ]
  calls: dict[str, dict[str, set[fx.Node]]] = {}
  for node in graph.nodes:
    # The key is different for each call of a module.
    for key, (path, _) in (node.meta.get("nn_module_stack") or {}).items():
      if path:
        calls.setdefault(path, {}).setdefault(key, set()).add(node)
  names: dict[fx.Node, list[str]] = {}
  # Submodules before the modules that return their results.
  for path in sorted(calls, key=lambda path: -path.count(".")):
    for call, nodes in enumerate(calls[path].values()):
      outputs = [node for node in layers if node in nodes and set(node.users) - nodes]
      if len(outputs) == 1:
        name = path if len(calls[path]) == 1 else f"{path}#{call}"
        names.setdefault(outputs[0], []).append(name)
  return {name: node for node in layers for name in names.get(node, [node.name])}


def _is_layer(node: fx.Node) -> bool:
  value = node.meta.get("val")
  return isinstance(value, torch.Tensor) and value.is_floating_point()


def _bounds(node: fx.Node) -> tuple[float, float] | None:
  """The bounds to which a node clips its first argument; None if it does not clip."""
  target: Any = node.target
  packet = getattr(target, "overloadpacket", None)
  if packet is None or packet.__name__.rstrip("_") not in _CLIPS:
    return None
  values: dict[str, Any] = {}
  for index, argument in enumerate(target._schema.arguments):
    given = node.args[index] if index < len(node.args) else None
    default = argument.default_value if given is None else given
    values[argument.name.removesuffix("_val")] = node.kwargs.get(argument.name, default)
  low, high = values.get("min"), values["max"]
  if not isinstance(high, int | float) or isinstance(low, fx.Node):
    return None  # no upper bound, or a computed one
  return -math.inf if low is None else float(low), float(high)
