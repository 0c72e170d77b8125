"""ONNX models, run by onnxruntime. Needs the extra `onnx`."""

import functools
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
from jaxtyping import UInt8

from milan_jax._src.errors import UserError
from milan_jax._src.images.preprocessing import default_mean_and_std
from milan_jax._src.images.sizes import Size, sides, size_text
from milan_jax._src.probe.attention_parts import without_attention
from milan_jax._src.probe.batch_sizes import run_in_batches
from milan_jax._src.probe.layout import Layout, to_nhwc
from milan_jax._src.probe.layout_check import determine_layouts
from milan_jax._src.probe.onnx_graph import FLOATS, Clip, OnnxGraph
from milan_jax._src.probe.protocol import TRIAL_BATCH, OneDevice, check_images
from milan_jax._src.probe.readings import Readings
from milan_jax._src.probe.white_square import pictures
from milan_jax._src.records import LayerShape

_FLOAT_TYPES = ("tensor(float)", "tensor(float16)", "tensor(double)")


class OnnxProbe(OneDevice):
  """Reads the tensors of an ONNX model by name.

  The requested tensors become the outputs of a copy of the model, so that only they are
  computed. A tensor can also be selected by the name of its node.

  The output of a clip is read before the upper bound, so that large values still
  differ.

  Args:
    model: the model, or its file; its weights may be in other files of the same folder.
    image_size: size of the images, in pixels; None takes the model's own, or 224.
    mean: subtracted from each channel, on the scale of 0 to 255; ImageNet's by default.
      A model with `uint8` input gets the pixels unchanged.
    std: each channel is then divided by it, on the scale of 0 to 255.
    layouts: layouts of layers by name or glob, which override the guess.
    before_clip: whether clipped layers are read before their upper clip.
    providers: execution providers of onnxruntime, in the order of preference.

  Raises:
    UserError: if it is not a model, or does not take images of that size.
  """

  def __init__(
    self,
    model: str | pathlib.Path | onnx.ModelProto,
    image_size: Size | None = None,
    *,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    layouts: Mapping[str, Layout] | None = None,
    before_clip: bool = True,
    providers: Sequence[str] = ("CPUExecutionProvider",),
  ):
    self._graph = OnnxGraph(model, len(mean or std or ()) or None)
    self._path = None if isinstance(model, onnx.ModelProto) else pathlib.Path(model)
    given = self._graph.input.images
    self.image_size = given.size(image_size, "model")
    self._channels = given.channels
    usual_mean, usual_std = default_mean_and_std(given.channels)
    self._mean = np.array(mean or usual_mean, np.float32)
    self._std = np.array(std or usual_std, np.float32)
    self._layouts = layouts
    self._before_clip = before_clip
    self._providers = list(providers)
    self._session: tuple[tuple[str, ...], onnxruntime.InferenceSession] | None = None

  def files(self) -> list[tuple[str, pathlib.Path]]:
    """The model's files, with names that do not depend on their location."""
    if self._path is None:
      return []
    beside = self._graph.weight_files()
    files = [(name, self._path.parent / name) for name in beside]
    return [("the ONNX file", self._path), *files]

  @functools.cached_property
  def aliases(self) -> Mapping[str, str]:
    """Layers by the names of the nodes that output them."""
    names = {shape.name for shape in self.layers()}
    found = self._graph.aliases()
    return {alias: name for alias, name in found.items() if name in names}

  def layers(self) -> tuple[LayerShape, ...]:
    """Every tensor that can be read as positions and units, in graph order."""
    return self.readings.shapes

  def reread(self, corrections: Mapping[str, Layout | None]) -> None:
    """Changes the layouts of layers."""
    self.readings.correct(corrections)

  def notes(self) -> Mapping[str, str]:
    """Remarks on how layers are read, by layer name."""
    clips = {shape.name: self._clip(shape.name) for shape in self.layers()}
    notes = {
      name: f"before its clip at {clip.high:g}" for name, clip in clips.items() if clip
    }
    for name, note in self.readings.notes().items():
      notes[name] = f"{notes[name]}; {note}" if name in notes else note
    return notes

  def activations(
    self,
    images: UInt8[np.ndarray, "batch rows columns c"],
    layers: tuple[str, ...],
  ) -> dict[str, np.ndarray]:
    """The tensors, as float32.

    Raises:
      UserError: if the images are not uint8 of its channels; if a name is not a layer,
        or the model does not run on such a batch.
    """
    check_images(images, self.channels)
    images = np.asarray(images)
    tensors = {name: self.aliases.get(name, name) for name in layers}
    for name, tensor in tensors.items():
      if tensor not in self.readings.layouts:
        raise UserError(
          f"The model has no tensor {name!r} that can be read as positions and units: "
          "--list_layers shows all that can be. Choose another, or set --layouts."
        )

    def run(part: np.ndarray) -> dict[str, np.ndarray]:
      found = self._run(part, tuple(tensors.values()))
      return {
        name: np.asarray(
          to_nhwc(found[tensor], name, self.readings.layouts[tensor], batch=len(part))
        )
        for name, tensor in tensors.items()
      }

    batch = self._graph.input.batch
    return run_in_batches(run, images, min_size=batch or 1, max_size=batch)

  def _run(
    self,
    images: UInt8[np.ndarray, "batch rows columns c"],
    tensors: tuple[str, ...],
  ) -> dict[str, np.ndarray]:
    clips = {name: self._clip(name) for name in tensors}
    sources = {name: clip.tensor if clip else name for name, clip in clips.items()}
    arrays = self._fetch(images, tuple(dict.fromkeys(sources.values())))
    found = {}
    for name, clip in clips.items():
      array = arrays[sources[name]].astype(np.float32, copy=False)
      found[name] = np.maximum(array, np.float32(clip.low)) if clip else array
    return found

  def _fetch(
    self,
    images: UInt8[np.ndarray, "batch rows columns c"],
    tensors: tuple[str, ...],
  ) -> dict[str, np.ndarray]:
    """Runs the model in a session with these outputs."""
    if self._session is None or self._session[0] != tensors:
      self._session = None  # frees its weights before the next ones are loaded
      self._session = tensors, self._open(tensors)
    given = self._graph.input
    pixels: np.ndarray = images
    if given.dtype != "uint8":
      pixels = ((images.astype(np.float32) - self._mean) / self._std).astype(
        given.dtype
      )
    if given.images.axes == "NCHW":
      pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    # Only floating-point tensors can be read; other outputs may be empty optionals.
    session = self._session[1]
    names = [one.name for one in session.get_outputs() if one.type in _FLOAT_TYPES]
    try:
      return dict(zip(names, session.run(names, {given.name: pixels}), strict=True))
    except Exception as error:  # onnxruntime's errors have no common class
      raise UserError(
        f"The model does not run on {len(images)} images of "
        f"{size_text(self.image_size)} pixels and {self._channels} channels: {error}."
      ) from error

  def _open(self, tensors: Sequence[str]) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if self._graph.folder:
      options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(self._graph.folder)
      )
    model = self._graph.with_outputs(tensors)
    try:
      return onnxruntime.InferenceSession(model, options, providers=self._providers)
    except Exception as error:  # onnxruntime's errors have no common class
      raise UserError(
        f"onnxruntime {onnxruntime.__version__} cannot run the model ({error}): export "
        "it for an older opset or without other operators than ONNX's, or check that "
        "its weights are in the same folder."
      ) from error

  def _clip(self, tensor: str) -> Clip | None:
    return self._graph.clip(tensor) if self._before_clip else None

  @functools.cached_property
  def readings(self) -> Readings:
    """The layouts by which tensors are read."""
    batch = self._graph.input.batch or TRIAL_BATCH
    names = self._graph.tensors()
    inferred = self._graph.shapes(batch, self.image_size)
    shapes = {name: shape for name, (kind, shape) in inferred.items() if kind in FLOATS}
    unclear = tuple(name for name in names if name not in inferred)
    if unclear:
      found = self._fetch(self.trial_images(batch), unclear)
      shapes |= {name: array.shape for name, array in found.items()}
    arrays = {name: shapes[name] for name in names if name in shapes}
    arrays = without_attention(arrays, batch, given=self._layouts or {})
    height, width = sides(self.image_size)
    readings = Readings(
      arrays,
      batch,
      convolution="NCHW",
      layouts=self._layouts,
      aspect=height / width,
    )
    # `determine_layouts` calls `activations`, which uses the layouts so far.
    self.__dict__["readings"] = readings
    shown = pictures(height, width, self._channels)
    determine_layouts(
      self, lambda names: self.activations(shown, names), aspect=height / width
    )
    return readings
