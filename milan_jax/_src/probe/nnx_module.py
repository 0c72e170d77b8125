"""Any Flax NNX module, read by what its parts return while it is traced."""

import contextvars
import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from flax import nnx
from jax.extend.core import get_opaque_trace_state
from jaxtyping import Array

from milan_jax._src.images.preprocessing import Preprocessing
from milan_jax._src.images.sizes import Size
from milan_jax._src.probe.jax_model import JaxProbe
from milan_jax._src.probe.jax_modules import inference_keywords, named_outputs
from milan_jax._src.probe.layout import Layout


class NnxProbe(JaxProbe):
  """What the parts of a module return, and what it sows.

  A layer's name is the path of attributes to its module, as `blocks.0.conv`; of a
  method other than `__call__` with the method's name behind it, and so is what is sown.
  The module's own result is `__call__`. Several calls and several arrays are named as
  `milan_jax._src.probe.jax_modules.named_outputs` describes. Parts that run inside a
  transformation of their own, such as `nnx.scan` or `nnx.remat`, are not seen; the
  whole of them is.

  Args:
    model: the module; a copy is read, in the mode of `model.eval()`, as it is now. If
      its `__call__` has a keyword such as `train` or `deterministic`, it is set.
    preprocessing: how it wants its images; they go in as `(batch, height, width, 3)`.
    pattern: a regular expression that the whole name of a layer must match.
    image_size: of the images, in pixels; None takes `preprocessing.crop`.
    layouts: of layers by name or glob, where the guess would be wrong.
    devices: what to run on; None takes all of this process.
    special: tokens in front that are not patches, if the layers have any.
    call: runs the module on images, where `model(images)` is not right:
      `lambda model, images: model.encode(images)`.
  """

  def __init__(
    self,
    model: nnx.Module,
    preprocessing: Preprocessing,
    *,
    pattern: str = ".*",
    image_size: Size | None = None,
    layouts: Mapping[str, Layout] | None = None,
    devices: Sequence[jax.Device] | None = None,
    special: int | None = None,
    call: Callable[[Any, Array], Any] | None = None,
  ):
    structure, state = nnx.split(model)
    fits = re.compile(pattern).fullmatch

    def run(
      state: Any, images: Array, layers: tuple[str, ...] | None
    ) -> Mapping[str, Array]:
      found = _outputs(nnx.merge(structure, state), images, call or _call)
      names = filter(fits, found) if layers is None else layers
      return {name: found[name] for name in names}

    super().__init__(
      run,
      state,
      preprocessing,
      image_size=image_size,
      layouts=layouts,
      devices=devices,
      special=special,
    )


def _call(model: Any, images: Array) -> Any:
  return model(images, **inference_keywords(model.__call__))


@dataclasses.dataclass(frozen=True, slots=True)
class _Recorder:
  """Records what the modules of one copy of a model return.

  Attributes:
    names: of the modules, by their identity.
    trace: the trace that they belong to: arrays of another must not leave that one.
    outputs: what each module returned, or sowed, call by call.
  """

  names: Mapping[int, str]
  trace: Any
  outputs: dict[str, list[Any]]

  def record(self, module: nnx.Module, method: str, value: Any) -> None:
    name = self.names.get(id(module))
    if name is None or _trace() != self.trace:
      return
    if method != "__call__" or not name:
      name = f"{name}.{method}".lstrip(".")
    self.outputs.setdefault(name, []).append(value)


_RECORDER: contextvars.ContextVar[_Recorder] = contextvars.ContextVar("recorder")


def _outputs(
  model: nnx.Module, images: Array, call: Callable[[Any, Array], Any]
) -> dict[str, Array]:
  """Runs a model that is ours to change."""
  model.eval()
  modules = list(nnx.iter_modules(model))
  names = {id(module): ".".join(map(str, path)) for path, module in modules}
  recorder = _Recorder(names, _trace(), {})
  for _, module in modules:
    # Python looks `__call__` up in the class. The user's class is left as it is: other
    # threads may be using it.
    object.__setattr__(module, "__class__", _recording_class(type(module)))
  token = _RECORDER.set(recorder)
  try:
    call(model, images)
  finally:
    _RECORDER.reset(token)
  named = (named_outputs(name, calls) for name, calls in recorder.outputs.items())
  return {name: array for outputs in named for name, array in outputs}


@functools.cache
def _recording_class(kind: type[nnx.Module]) -> type[nnx.Module]:
  """A subclass that records what its methods return."""
  methods: dict[str, Any] = {"sow": _record_sown}
  for base in kind.__mro__:
    if base in nnx.Module.__mro__:
      continue
    for name, value in vars(base).items():
      public = name == "__call__" or not name.startswith("_")
      # What binds to the module: no static methods, and no classes or partials.
      method = callable(value) and hasattr(type(value), "__get__")
      if public and method and not isinstance(value, staticmethod):
        methods.setdefault(name, _recording_method(kind, name))
  make: Callable[..., type[nnx.Module]] = type(kind)
  return make(kind.__name__, (kind,), methods)


def _recording_method(kind: type[nnx.Module], name: str) -> Callable[..., Any]:
  method = getattr(kind, name)

  @functools.wraps(method)
  def recorded(self: nnx.Module, *arguments: Any, **keywords: Any) -> Any:
    result = method(self, *arguments, **keywords)
    recorder = _RECORDER.get(None)
    if recorder is not None:
      recorder.record(self, name, result)
    return result

  return recorded


def _record_sown(
  self: nnx.Module, variable_type: Any, name: str, value: Any, *_: Any, **__: Any
) -> bool:
  """Replaces `sow`, which keeps values only inside `nnx.capture`."""
  recorder = _RECORDER.get(None)
  if recorder is not None:
    recorder.record(self, name, value)
  return recorder is not None


def _trace() -> Any:
  return get_opaque_trace_state(convention="nnx")
