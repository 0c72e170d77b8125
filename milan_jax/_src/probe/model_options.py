"""A network, and the options to open one."""

import dataclasses
import pathlib

from milan_jax._src.errors import UserError
from milan_jax._src.images.geometry import Geometry
from milan_jax._src.images.latents import Latents
from milan_jax._src.images.preprocessing import (
  TORCHVISION,
  Preprocessing,
  default_mean_and_std,
)
from milan_jax._src.images.sizes import Size, sides, size_from_sides, size_text
from milan_jax._src.notebook import Shown
from milan_jax._src.options.describe import ModelOptions
from milan_jax._src.probe.default_layers import default_layers
from milan_jax._src.probe.layout import Layout, parse_layouts
from milan_jax._src.probe.protocol import Probe

# Number words for messages.
_NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}


@dataclasses.dataclass(frozen=True, repr=False)
class Network(Shown):
  """A network that can be probed.

  Attributes:
    probe: reads its activations.
    geometry: how its images are resized and cropped.
    default_layers: layers to describe if none are given; empty if unknown.
    weights: a phrase for the source of its weights; empty if unknown.
    options: the options that it was opened with; None if it was created in code.

  Example:
    >>> network = milan_jax.probe(module, variables, image_size="32")
    >>> network.default_layers
    ('conv1', '__call__')
  """

  probe: Probe
  geometry: Geometry
  default_layers: tuple[str, ...]
  weights: str = ""
  options: ModelOptions | None = None

  def __repr__(self) -> str:
    size = size_text(self.geometry.crop)
    return (
      f"Network({type(self.probe).__name__}, images of {size} pixels, "
      f"default_layers={self.default_layers!r}, weights={self.weights!r})"
    )

  def weights_from(self, place: str) -> "Network":
    """The network with this source of weights, unless it already has one."""
    return self if self.weights else dataclasses.replace(self, weights=place)


@dataclasses.dataclass(frozen=True, slots=True)
class ModelRequest(ModelOptions):
  """A model's options with methods that parse them, and objects given in code.

  Attributes:
    latents: a generator's inputs; None for models that take images.
    prepared: preprocessing that overrides the options and the model's own; None uses
      these.
  """

  latents: Latents | None = None
  prepared: Preprocessing | None = None

  @classmethod
  def of(
    cls,
    options: ModelOptions,
    latents: Latents | None = None,
    prepared: Preprocessing | None = None,
  ) -> "ModelRequest":
    """Creates a request from options."""
    values = {
      field.name: getattr(options, field.name)
      for field in dataclasses.fields(ModelOptions)
    }
    return cls(**values, latents=latents, prepared=prepared)

  def weights_source(self) -> str:
    """A phrase for the source of the weights."""
    kind = "folder" if pathlib.Path(str(self.weights)).is_dir() else "file"
    return f"the {kind} {self.weights}"

  def read_layouts(self) -> dict[str, Layout]:
    """The layouts, by name or glob."""
    return parse_layouts(self.layouts or "")

  def read_image_range(self) -> tuple[float, float]:
    """The range of a generator's images.

    Raises:
      UserError: if it is not two numbers, the smaller first.
    """
    try:
      low, high = map(float, self.image_range.split(","))
    except ValueError:
      low, high = 1.0, -1.0
    if not low < high:
      raise UserError(
        f"--image_range={self.image_range}: expected the minimum and maximum value of "
        "an image, such as -1,1."
      )
    return low, high

  def read_size(self) -> Size | None:
    """The size of its images, in pixels; None for the model's own.

    Raises:
      UserError: if it is not a size.
    """
    if self.prepared is not None:
      return self.prepared.crop
    text = str(self.image_size or "")
    if text in ("", "0"):
      return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(one.isdecimal() and int(one) for one in parts):
      raise UserError(
        f"--image_size={text}: expected a number of pixels, or HEIGHTxWIDTH such as "
        "128x64."
      )
    return size_from_sides(int(parts[0]), int(parts[-1]))

  def read_mean(self) -> tuple[float, ...] | None:
    """The mean of each channel on the scale of 0 to 255; None if not set."""
    return self.prepared.mean if self.prepared else _colors("--mean", self.mean)

  def read_std(self) -> tuple[float, ...] | None:
    """The std of each channel on the scale of 0 to 255; None if not set."""
    return self.prepared.std if self.prepared else _colors("--std", self.std)

  @property
  def channels(self) -> int:
    """Channels of its images, from the length of mean or std; 0 if not set.

    Raises:
      UserError: if mean and std differ in length.
    """
    mean, std = self.read_mean(), self.read_std()
    if mean and std and len(mean) != len(std):
      raise UserError(
        f"--mean={self.mean} has {len(mean)} numbers and --std={self.std} has "
        f"{len(std)}: expected one number per channel in both."
      )
    return len(mean or std or ())

  def preprocessing(
    self,
    own: Preprocessing = TORCHVISION,
    *,
    size: Size | None = None,
    channels: int = 0,
  ) -> Preprocessing:
    """The network's own preprocessing, with the user's options applied.

    Args:
      own: the network's own preprocessing; ImageNet's if unknown.
      size: size of the images that it takes, if fixed; overrides the options.
      channels: number of channels that it takes; 0 if unknown.

    Raises:
      UserError: if a mean or std is not between 0 and 1, their number is not that of
        the channels, or a size is malformed.
    """
    if self.prepared is not None:
      own = self.prepared
    crop = size or self.read_size() or own.crop
    given = self.channels
    if given and channels and given != channels:
      option = f"--mean={self.mean}" if self.mean else f"--std={self.std}"
      many = f"{_NUMBERS.get(channels, channels)} number{'s' * (channels > 1)}"
      raise UserError(
        f"{option}: expected {many}, one for each channel of the network's images, "
        f"found {given}."
      )
    number = channels or given or own.channels
    default = (
      (own.mean, own.std) if own.channels == number else default_mean_and_std(number)
    )
    return dataclasses.replace(
      own,
      crop=crop,
      resize=_scaled_resize(own, crop),
      mean=self.read_mean() or default[0],
      std=self.read_std() or default[1],
    )


def _scaled_resize(own: Preprocessing, crop: Size) -> Size | None:
  """The size before the crop, scaled like the crop from the network's own sizes."""
  if own.resize is None:
    return None
  of, whole = sides(own.crop), sides(own.resize)
  rows, columns = (
    round(length * side / own_side)
    for length, side, own_side in zip(whole, sides(crop), of, strict=True)
  )
  return size_from_sides(rows, columns)


def make_network(
  probe: Probe, prepared: Preprocessing, layers: tuple[str, ...] | None = None
) -> Network:
  """Creates a network; guesses its default layers unless `layers` is given."""
  geometry = Geometry(
    prepared.resize,
    prepared.crop,
    prepared.interpolation,
    squash=prepared.squash,
    channels=prepared.channels,
  )
  return Network(
    probe, geometry, default_layers(probe.layers()) if layers is None else layers
  )


def reject_options(model: str, request: ModelRequest, *options: str) -> None:
  """Raises UserError if the user set an option that does not apply to the model."""
  given = [
    f"--{name}" for name in options if getattr(request, name) not in (0, "0", "", None)
  ]
  if given:
    raise UserError(
      f"{', '.join(given)}: --model={model} has its own or needs none; omit it."
    )


def missing_libraries(model: str, extras: str) -> UserError:
  """The error for a model whose libraries are not installed."""
  return UserError(
    f"--model={model} needs libraries that are not installed: "
    f"pip install 'milan-jax[{extras}]'."
  )


def _colors(flag: str, text: str | None) -> tuple[float, ...] | None:
  """Parses numbers from 0 to 1 and scales them to 255; None for an empty text."""
  if not text:
    return None
  try:
    values = tuple(float(part) for part in text.split(","))
  except ValueError:
    values = (float("nan"),)
  least = 1e-6 if flag == "--std" else 0.0
  if not all(least <= value <= 1 for value in values):
    above = "above 0 and up to 1" if least else "from 0 to 1"
    raise UserError(
      f"{flag}={text}: expected numbers {above}, one per channel of the network's "
      "images, such as 0.485,0.456,0.406."
    )
  return tuple(255 * value for value in values)
