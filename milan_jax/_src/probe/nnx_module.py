"""Any Flax NNX module, read by recording its submodules' outputs while tracing."""

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
  """Reads what submodules return, and what is sown.

  A layer's name is the attribute path of its submodule, such as `blocks.0.conv`,
  followed by the name of the method if it is not `__call__`, or by the name of a sown
  value. The module's own result is `__call__`. Several calls and several arrays are
  named by `milan_jax._src.probe.jax_modules.named_outputs`. Submodules that run inside
  a transformation such as `nnx.scan` or `nnx.remat` cannot be read; only its result
  can.

  Args:
    model: the module; a copy of its current state runs after `model.eval()`. Keywords
      of its `__call__` such as `train` or `deterministic` are set for inference.
    preprocessing: how its input images are prepared; their shape is `(batch, height,
      width, 3)`.
    pattern: a regular expression that the whole name of a layer must match.
    image_size: size of the images, in pixels; None takes `preprocessing.crop`.
    layouts: layouts of layers by name or glob, which override the guess.
    devices: devices to run on; None takes all of this process.
    special: number of leading tokens that are not patches, if known.
    call: runs the module on images, if `model(images)` is not the right call: `lambda
      model, images: model.encode(images)`.
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
    names: names of the modules, by `id`.
    trace: the trace that they belong to; arrays of inner traces must not escape.
    outputs: what each module returned or sowed, in the order of calls.
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
  """Runs a model and returns its outputs; modifies the model."""
  model.eval()
  modules = list(nnx.iter_modules(model))
  names = {id(module): ".".join(map(str, path)) for path, module in modules}
  recorder = _Recorder(names, _trace(), {})
  for _, module in modules:
    # Python looks up `__call__` in the class. The user's class is not modified, because
    # other threads may be using it.
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
      # Only what binds to the module: not static methods, classes or partials.
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
  """Replaces `sow`, which stores values only inside `nnx.capture`."""
  recorder = _RECORDER.get(None)
  if recorder is not None:
    recorder.record(self, name, value)
  return recorder is not None


def _trace() -> Any:
  return get_opaque_trace_state(convention="nnx")
