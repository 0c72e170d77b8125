"""What the user may say of a network, and what is made of it."""

import dataclasses
import pathlib

from milan_jax.errors import UserError
from milan_jax.images.geometry import Geometry
from milan_jax.images.latents import Latents
from milan_jax.models.backbones.registry import TORCHVISION, Preprocessing
from milan_jax.probe.default_layers import default_layers
from milan_jax.probe.layout import Layout, parse_layouts
from milan_jax.probe.protocol import Probe


@dataclasses.dataclass(frozen=True)
class Network:
  """A network that can be probed.

  Attributes:
    probe: reads its activations.
    geometry: how its images are resized and cropped.
    default_layers: layers to describe when none are named; empty if none is known.
    weights: where its weights come from, in words; empty if nobody asks.
  """

  probe: Probe
  geometry: Geometry
  default_layers: tuple[str, ...]
  weights: str = ""

  def weights_from(self, place: str) -> "Network":
    """The same network, unless it says itself where its weights come from."""
    return self if self.weights else dataclasses.replace(self, weights=place)


@dataclasses.dataclass(frozen=True, slots=True)
class Wishes:
  """What the user said of a network, beside its name. Empty: as the network likes.

  Attributes:
    weights: path of a state dict.
    image_size: side of its images, in pixels; 0 for its own, or 224.
    mean: subtracted from each colour, `R,G,B` from 0 to 1.
    std: each colour is divided by it, `R,G,B` from 0 to 1.
    layouts: as `milan_jax.probe.layout` reads them.
    torch_device: where torch modules run.
    before_clip: whether clipped activations are read before their upper clip.
    image_range: least and greatest value of a generator's images, `LOW,HIGH`.
    latents: a generator's inputs; None for models that look at images.
  """

  weights: str = ""
  image_size: int = 0
  mean: str = ""
  std: str = ""
  layouts: str = ""
  torch_device: str = ""
  before_clip: bool = True
  image_range: str = "-1,1"
  latents: Latents | None = None

  def weights_place(self) -> str:
    """The state dict, in words."""
    kind = "folder" if pathlib.Path(self.weights).is_dir() else "file"
    return f"the {kind} {self.weights}"

  def read_layouts(self) -> dict[str, Layout]:
    """The layouts, by name or glob."""
    return parse_layouts(self.layouts)

  def read_image_range(self) -> tuple[float, float]:
    """The range of a generator's images.

    Raises:
      UserError: if it is no two numbers, the lesser first.
    """
    try:
      low, high = map(float, self.image_range.split(","))
    except ValueError:
      low, high = 1.0, -1.0
    if not low < high:
      raise UserError(
        f"--image_range={self.image_range}: expected the least and the greatest value "
        "of an image, such as -1,1."
      )
    return low, high

  def preprocessing(
    self, own: Preprocessing = TORCHVISION, *, size: int = 0
  ) -> Preprocessing:
    """How the network's images are prepared: its own way, but for what the user set.

    Args:
      own: how it likes them; ImageNet's usual way where it does not say.
      size: side of the images that it takes, where it says; it wins.

    Raises:
      UserError: if a mean or a deviation is no three numbers, or a size is negative.
    """
    crop = size or self.image_size or own.crop
    if crop < 1:
      raise UserError(f"--image_size={self.image_size}: expected a number of pixels.")
    return dataclasses.replace(
      own,
      crop=crop,
      resize=own.resize and round(own.resize * crop / own.crop),
      mean=_colours("--mean", self.mean) or own.mean,
      std=_colours("--std", self.std) or own.std,
    )


def network_of(
  probe: Probe, prepared: Preprocessing, layers: tuple[str, ...] | None = None
) -> Network:
  """A network from its probe; its default layers are guessed unless they are known."""
  geometry = Geometry(
    prepared.resize, prepared.crop, prepared.interpolation, squash=prepared.squash
  )
  return Network(
    probe, geometry, default_layers(probe.layers()) if layers is None else layers
  )


def refuse(model: str, wishes: Wishes, *options: str) -> None:
  """Raises UserError if the user set what a kind of model brings itself."""
  given = [f"--{name}" for name in options if getattr(wishes, name)]
  if given:
    raise UserError(
      f"{', '.join(given)}: --model={model} brings its own, or has none; leave it out."
    )


def missing(model: str, extras: str) -> UserError:
  """The error of a model whose libraries are not installed."""
  return UserError(
    f"--model={model} needs libraries that are not installed: "
    f"pip install 'milan-jax[{extras}]'."
  )


def _colours(flag: str, text: str) -> tuple[float, float, float] | None:
  """Three numbers of 0 to 1, as numbers of 0 to 255; None for an empty text."""
  if not text:
    return None
  try:
    red, green, blue = (float(part) for part in text.split(","))
  except ValueError:
    red = green = blue = float("nan")
  least = 1e-6 if flag == "--std" else 0.0
  if not all(least <= value <= 1 for value in (red, green, blue)):
    above = "above 0 and up to 1" if least else "of 0 to 1"
    raise UserError(
      f"{flag}={text}: expected three numbers {above}, such as 0.485,0.456,0.406."
    )
  return 255 * red, 255 * green, 255 * blue
