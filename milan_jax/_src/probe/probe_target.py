"""What a run looks at: a network, what goes into it, and a picture of each input."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from milan_jax._src.errors import UserError
from milan_jax._src.images.image_sources import open_images
from milan_jax._src.images.latents import GeneratedImages, Latents, open_latents
from milan_jax._src.images.preprocessing import usual_colors
from milan_jax._src.images.source import ImageSource, RgbImages, Source
from milan_jax._src.models.backbones import backbone_names
from milan_jax._src.probe.default_layers import default_layers
from milan_jax._src.probe.model_options import Network, Wishes
from milan_jax._src.probe.networks import open_network
from milan_jax._src.probe.protocol import Generator, Probe
from milan_jax._src.probe.trial_report import (
  TrialReport,
  check_alone,
  complaint,
  format_report,
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

# The options of `Wishes` that a user writes.
WISHES = tuple(field.name for field in dataclasses.fields(Wishes))[:-1]
# Units of each layer that the demonstration describes: it takes a minute or two.
DEMO_UNITS = "0:32"
# Pictures that a network which is compiled sees together for a list of its layers.
_LISTED_BATCH = 10


@dataclasses.dataclass(frozen=True)
class Subject:
  """A network and what it is shown.

  Attributes:
    network: the network.
    inputs: what goes into it.
    images: the picture of each input: itself, or what a generator makes of it.
    files: that the network comes from, by names that do not tell where they lie.
    demo: whether the images are the packaged photographs.
  """

  network: Network
  inputs: Source
  images: ImageSource
  files: Files
  demo: bool

  def choose(self, layers: str, units: str, *, batch_size: int = 32) -> "Chosen":
    """The units of each layer that the user named, and how those layers are read.

    The network is tried on a few pictures first.

    Args:
      layers: what the user wrote; empty for the network's default layers.
      units: the same, of units.
      batch_size: images that go through one device together.

    Raises:
      UserError: if there is no such layer or unit, its positions are not the picture's,
        or its numbers depend on chance or on the batch.
    """
    names, tried = self._tried(layers, batch_size)
    shapes = {shape.name: shape for shape in tried.shapes}
    if self.demo and not units:
      units = DEMO_UNITS
      if is_primary():
        say(f"the demonstration describes units {units} of each layer; see --units")
    if is_primary():
      say(describe_layers(tuple(shapes.values()), names))
      self._say_notes(names)
      report_layouts(tried)
    return Chosen(
      {name: select_units(units, shapes[name].units) for name in names},
      {name: tried.answers[name] for name in names if name in tried.answers},
    )

  def _tried(self, layers: str, batch_size: int) -> tuple[tuple[str, ...], TrialReport]:
    """The layers to describe, and what a trial of them found."""
    probe = self.network.probe
    shapes = probe.layers()
    names = self.network.default_layers
    if layers:
      # The nodes of an ONNX graph have names of their own.
      aliases = getattr(probe, "aliases", None)
      names = select_layers([shape.name for shape in shapes], layers, aliases)
    first = ""
    while names:
      latents = _some(self.inputs)
      tried = try_layers(probe, names, batch_size=batch_size, latents=latents)
      check_alone(tried, batch_size=batch_size)
      wrong = {name: complaint(tried, name) for name in names}
      wrong = {name: why for name, why in wrong.items() if why}
      if not wrong:
        return names, tried
      first = first or next(iter(wrong.values()))
      if layers:
        asked = [item.strip() for item in layers.split(",")]
        # Of a glob, what fits is taken.
        if len(wrong) == len(names) or any(name in asked for name in wrong):
          raise UserError(first)
        names = tuple(name for name in names if name not in wrong)
        say(f"left out {len(wrong)} layers: {first}")
      else:
        shapes = tuple(one for one in tried.shapes if one.name not in wrong)
        names = default_layers(shapes) if shapes else ()
    raise UserError(
      first
      or "This network has no default layers: name some with --layers; "
      "--list_layers prints them."
    )

  def _say_notes(self, names: tuple[str, ...]) -> None:
    # Only some probes have something to say.
    notes: Mapping[str, str] = getattr(self.network.probe, "notes", dict)()
    for name in names:
      if name in notes:
        say(f"{name}: {notes[name]}")


@dataclasses.dataclass(frozen=True, slots=True)
class Chosen:
  """What of a network is described.

  Attributes:
    units: the units of each layer.
    answers: numbers of what each layer gave in the trial; none where there was none.
  """

  units: Mapping[str, Int[np.ndarray, "_"]]
  answers: Mapping[str, list[float]]


def find_subject(
  *,
  model: str,
  images: str,
  split: str,
  data_dir: str,
  fit: str = "",
  latents: str,
  **wishes: Any,
) -> Subject:
  """Finds the network and what it is shown, from the options of `milan-describe`.

  Args:
    model: as `open_network` takes it.
    images: as `open_images` takes them; empty for a generator.
    split: of the images.
    data_dir: of the images.
    fit: what is done to images of another size; empty: what the network likes.
    latents: path of a generator's inputs; empty for models that look at images.
    wishes: of `Wishes`.

  Raises:
    UserError: something is not there, or does not fit.
  """
  network, inputs = _open(model, latents, wishes)
  files = _files(model, network.probe)
  if inputs is None:
    source = open_images(
      images, network.geometry, split=split, data_dir=data_dir, fitting=fit
    )
    pictures: ImageSource = source
    if network.geometry.channels != 3:
      pictures = RgbImages(source, source.size)
      if is_primary() and not (wishes["mean"] or wishes["std"]):
        say(_channels_line(network.geometry.channels))
    return Subject(network, source, pictures, files, demo=not images)
  if images or split or data_dir or fit:
    raise UserError(
      "--latents: a generator makes its images; name no --images, no --split, no "
      "--data_dir and no --fit."
    )
  probe = network.probe
  if not isinstance(probe, Generator):
    raise UserError(f"--latents are for a generator, which --model={model} is not.")
  pictures = GeneratedImages(inputs, probe.images, probe.image_size)
  return Subject(network, inputs, pictures, files, demo=False)


def _channels_line(channels: int) -> str:
  mean, std = (values[0] / 255 for values in usual_colors(channels))
  what = "of gray" if channels == 1 else f"of {channels} channels"
  return (
    f"the network takes images {what}, prepared with mean {mean:.3f} and deviation "
    f"{std:.3f}, the means of ImageNet's three: --mean and --std set others"
  )


def _files(model: str, probe: Probe) -> Files:
  """The files that a model comes from; none of a model by name."""
  path = pathlib.Path(model)
  if hasattr(probe, "files"):
    return probe.files()
  if path.is_file():
    return [("the file", path)]
  if (path / "config.json").is_file() and model not in backbone_names():
    # Weights are among the parameters.
    return [(each.name, each) for each in sorted(path.glob("*.json"))]
  return []


def _some(inputs: Source | None) -> np.ndarray | None:
  """Some inputs of a generator; None where pictures go in."""
  if not isinstance(inputs, Latents):
    return None
  return np.stack([inputs.load(index) for index in range(min(10, len(inputs)))])


def list_layers(*, model: str, latents: str, **options: Any) -> str:
  """A table of a network's layers: what each gives, and how that is read.

  The network is tried on a few pictures for it.
  """
  wishes = {name: options[name] for name in WISHES}
  network, inputs = _open(model, latents, wishes)
  names = [shape.name for shape in network.probe.layers()]
  return format_report(
    try_layers(network.probe, names, batch_size=_LISTED_BATCH, latents=_some(inputs))
  )


def _open(
  model: str, latents: str, wishes: dict[str, Any]
) -> tuple[Network, Latents | None]:
  inputs = open_latents(latents) if latents else None
  network = open_network(model, Wishes(**wishes, latents=inputs))
  if network.weights and is_primary():
    say(f"weights: {network.weights}")
  return network, inputs
