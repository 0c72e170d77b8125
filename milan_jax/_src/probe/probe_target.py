"""The target of a run: a network, its inputs, and a picture of each input."""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from milan_jax._src.errors import UserError
from milan_jax._src.images.demo import DemoImages
from milan_jax._src.images.image_sources import open_images
from milan_jax._src.images.latents import (
  GeneratedImages,
  Latents,
  open_latents,
  range_notice,
)
from milan_jax._src.images.preprocessing import default_mean_and_std
from milan_jax._src.images.source import ImageSource, RgbImages, Source
from milan_jax._src.models.backbones import backbone_names
from milan_jax._src.options.describe import ExemplarOptions, ImageOptions, ModelOptions
from milan_jax._src.probe.default_layers import default_layers
from milan_jax._src.probe.model_options import ModelRequest, Network
from milan_jax._src.probe.networks import open_network
from milan_jax._src.probe.protocol import Generator, Probe
from milan_jax._src.probe.trial_report import (
  TrialReport,
  check_reproducible,
  format_report,
  layout_error,
  report_layouts,
  try_layers,
)
from milan_jax._src.probe.unit_selection import (
  describe_layers,
  select_layers,
  select_units,
)
from milan_jax._src.runs.inputs import Files
from milan_jax._src.runs.processes import is_primary
from milan_jax._src.runs.progress import say

# Units of each layer that the demonstration describes, in a minute or two.
DEMO_UNITS = "0:32"
# Batch size of the trial for a list of layers, for compiled networks.
_LISTED_BATCH = 10


@dataclasses.dataclass(frozen=True)
class ProbeTarget:
  """A network and its inputs.

  Attributes:
    network: the network.
    inputs: its inputs.
    images: the picture of each input: the input itself, or what a generator makes from
      it.
    files: the network's files, with names that do not depend on their location.
    model: the options that specify the network.
    shown: the options that specify the images.
  """

  network: Network
  inputs: Source
  images: ImageSource
  files: Files
  model: ModelOptions
  shown: ImageOptions

  @property
  def demo(self) -> bool:
    """Whether the images are the packaged photographs."""
    return isinstance(self.inputs, DemoImages)

  def choose(self, options: ExemplarOptions) -> "Selection":
    """Selects layers and units, and determines the layers' layouts.

    Runs a trial of the network on a few pictures first.

    Args:
      options: layers, units and batch size.

    Raises:
      UserError: if there is no such layer or unit, a layer's positions are not the
        image's, or its activations are random or depend on the batch.
    """
    units = options.units or ""
    names, report = self._run_trials(options.layers or "", options.batch_size)
    shapes = {shape.name: shape for shape in report.shapes}
    if self.demo and not units:
      units = DEMO_UNITS
      if is_primary():
        say(f"the demonstration describes units {units} of each layer, not all")
    if is_primary():
      say(describe_layers(tuple(shapes.values()), names))
      self._say_notes(names)
      report_layouts(report)
    return Selection(
      {name: select_units(units, shapes[name].units) for name in names},
      {name: report.answers[name] for name in names if name in report.answers},
    )

  def _run_trials(
    self, layers: str, batch_size: int
  ) -> tuple[tuple[str, ...], TrialReport]:
    """The layers to describe, and the report of their trial."""
    probe = self.network.probe
    shapes = probe.layers()
    names = self.network.default_layers
    if layers:
      # The nodes of an ONNX graph have their own names.
      aliases = getattr(probe, "aliases", None)
      absence = getattr(probe, "absence", None)
      known = [shape.name for shape in shapes]
      names = select_layers(known, layers, aliases, absence=absence)
    first = ""
    while names:
      latents = _trial_latents(self.inputs)
      report = try_layers(probe, names, batch_size=batch_size, latents=latents)
      check_reproducible(report, batch_size=batch_size)
      wrong = {name: layout_error(report, name) for name in names}
      wrong = {name: why for name, why in wrong.items() if why}
      if not wrong:
        return names, report
      first = first or next(iter(wrong.values()))
      if layers:
        asked = [item.strip() for item in layers.split(",")]
        # Layers that only a glob matched may be left out.
        if len(wrong) == len(names) or any(name in asked for name in wrong):
          raise UserError(first)
        names = tuple(name for name in names if name not in wrong)
        say(f"left out {len(wrong)} layers: {first}")
      else:
        shapes = tuple(one for one in report.shapes if one.name not in wrong)
        names = default_layers(shapes) if shapes else ()
    raise UserError(
      first
      or "This network has no default layers: choose some with --layers; "
      "--list_layers shows all."
    )

  def _say_notes(self, names: tuple[str, ...]) -> None:
    # Only some probes have notes.
    notes: Mapping[str, str] = getattr(self.network.probe, "notes", dict)()
    for name in names:
      if name in notes:
        say(f"{name}: {notes[name]}")


@dataclasses.dataclass(frozen=True, slots=True)
class Selection:
  """The units of a network to describe.

  Attributes:
    units: the units of each layer.
    answers: summaries of each layer's activations in the trial; empty if it had none.
  """

  units: Mapping[str, Int[np.ndarray, "_"]]
  answers: Mapping[str, list[float]]


def open_target(
  model: ModelOptions, images: ImageOptions, network: Network | None = None
) -> ProbeTarget:
  """Opens a network and its inputs.

  Args:
    model: options of the network.
    images: options of its inputs: images, or a generator's latents.
    network: the network, if it is already open.

  Raises:
    UserError: if something is missing, or an option does not apply.
  """
  inputs = open_latents(images.latents) if images.latents else None
  network = _open(model, inputs) if network is None else network
  files = _files(model.name, network.probe)
  if inputs is None:
    source = open_images(images, network.geometry)
    return target_of(network, source, model=model, shown=images, files=files)
  if images.source or images.split or images.data_dir or images.fit:
    raise UserError(
      "--latents: a generator makes its own images; omit --images, --split, --data_dir "
      "and --fit."
    )
  probe = network.probe
  if not isinstance(probe, Generator):
    raise UserError(
      f"--latents is for generators, and --model={model.name} is not one."
    )
  pictures = GeneratedImages(inputs, probe.images, probe.image_size)
  notice = range_notice(pictures)
  if notice and is_primary():
    say(notice)
  return ProbeTarget(network, inputs, pictures, files, model, images)


def target_of(
  network: Network,
  source: ImageSource,
  *,
  model: ModelOptions,
  shown: ImageOptions,
  files: Files = (),
) -> ProbeTarget:
  """The target of a network and a source of images of its size.

  Args:
    network: the network.
    source: the images.
    model: the options that specify the network.
    shown: the options that specify the images.
    files: the network's files.
  """
  pictures = source
  if network.geometry.channels != 3:
    pictures = RgbImages(source, source.size)
    if is_primary() and not (model.mean or model.std):
      say(_channels_line(network.geometry.channels))
  return ProbeTarget(network, source, pictures, files, model, shown)


def _channels_line(channels: int) -> str:
  mean, std = (values[0] / 255 for values in default_mean_and_std(channels))
  what = "of gray" if channels == 1 else f"of {channels} channels"
  return (
    f"the network takes images {what}, normalized with mean {mean:.3f} and std "
    f"{std:.3f}, the averages over ImageNet's three channels: mean and std set others"
  )


def _files(model: str, probe: Probe) -> Files:
  """The files that a model was loaded from; empty for a model by name."""
  path = pathlib.Path(model)
  if hasattr(probe, "files"):
    files: Files = probe.files()
    return files
  if path.is_file():
    return [("the file", path)]
  if (path / "config.json").is_file() and model not in backbone_names():
    # Weights are among the parameters.
    return [(each.name, each) for each in sorted(path.glob("*.json"))]
  return []


def _trial_latents(inputs: Source | None) -> np.ndarray | None:
  """Some inputs of a generator; None if the network takes images."""
  if not isinstance(inputs, Latents):
    return None
  return np.stack([inputs.load(index) for index in range(min(10, len(inputs)))])


def list_layers(model: ModelOptions, images: ImageOptions) -> str:
  """A table of a network's layers: the shape of each one's array, and its layout.

  Runs a trial of the network on a few pictures.
  """
  inputs = open_latents(images.latents) if images.latents else None
  network = _open(model, inputs)
  names = [shape.name for shape in network.probe.layers()]
  return format_report(
    try_layers(
      network.probe, names, batch_size=_LISTED_BATCH, latents=_trial_latents(inputs)
    )
  )


def _open(model: ModelOptions, inputs: Latents | None) -> Network:
  network = open_network(ModelRequest.of(model, inputs))
  if network.weights and is_primary():
    say(f"weights: {network.weights}")
  return network
