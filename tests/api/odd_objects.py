"""Objects of one's own that are not what they should be, and calls with them."""

import copy
import dataclasses
from typing import Any

import jax
import numpy as np

import milan_jax

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), np.uint8)


class Source:
  """Images from an array, as a team writes it.

  Args:
    change: what `load` makes of an image.
    blank: the blank image.
    size: of an image.
  """

  def __init__(self, change=lambda image: image, blank=IMAGES[0] * 0, size=32):
    self._change = change
    self.blank, self.size = blank, size

  def __len__(self):
    return len(IMAGES)

  def name(self, index):
    return f"number {index}"

  def load(self, index):
    return self._change(IMAGES[index])


class Flipped(Source):
  """Flips at random, as the training of a network does."""

  def __init__(self):
    rng = np.random.default_rng(0)
    super().__init__(lambda image: image[:, :: rng.choice([-1, 1])])


class Reused(Source):
  """Writes every image to the same array."""

  def __init__(self):
    super().__init__(self._written)
    self._array = IMAGES[0].copy()

  def _written(self, image):
    self._array[:] = image
    return self._array


@dataclasses.dataclass
class Changed:
  """Exemplars whose images or masks are of another kind.

  Attributes:
    found: the exemplars.
    image: what becomes of images.
    mask: what becomes of masks.
    layer: what becomes of a layer's table.
  """

  found: Any
  image: Any = np.asarray
  mask: Any = np.asarray
  layer: Any = copy.copy

  @property
  def layers(self):
    return self.found.layers

  @property
  def num_images(self):
    return self.found.num_images

  def exemplars(self, layer):
    return self.layer(self.found.exemplars(layer))

  def images(self, rows):
    return self.image(self.found.images(rows))

  def masks(self, layer, rows, slots):
    return self.mask(self.found.masks(layer, rows, slots))


def decode(names, change):
  features = names["features"].read(0, 8)
  keys = jax.random.split(jax.random.key(0), 8)
  return names["captioner"].decoder(batch_size=8)(*change(features, keys))


def _collect(names, images):
  return milan_jax.collect(names["network"], images, layers=["conv2"], k=5)


def _some_units():
  return milan_jax.open_exemplars("runs/mine/exemplars", units=[1, 2])


def _diverged(release):
  whole = release.params["captioner"]
  return dataclasses.replace(
    release,
    params={**release.params, "captioner": jax.tree.map(lambda x: x * np.nan, whole)},
  )


ODD_CALLS = {
  "regions without a mask": (
    lambda s, d: milan_jax.from_regions(
      IMAGES[:4].reshape(2, 2, 32, 32, 3),
      np.arange(2)[:, None, None, None] * np.ones((2, 2, 32, 32)) > 0,
    ),
    "masks: expected a marked pixel in .* each unit; found none for unit 0: leave",
  ),
  "regions without a name": (
    lambda s, d: milan_jax.from_regions(
      IMAGES[None, :2], np.ones((1, 2, 32, 32), bool), layer=3
    ),
    "layer: expected a name; found 3",
  ),
  "features that are no numbers": (
    lambda s, d: decode(s, lambda x, keys: (x * np.nan, keys)),
    "features: expected finite numbers; found NaN or infinity for 8 of 8 units",
  ),
  "rows of features before the first": (
    lambda s, d: s["features"].read(-1, 3),
    "units: expected 0 to 7; found -1",
  ),
  "a captioner that diverged": (
    lambda s, d: _diverged(s["captioner"].release),
    "captioner/.* must be finite, not 'NaN or infinity'",
  ),
  "tokens of another vocabulary": (
    lambda s, d: s["captioner"].log_probs(
      s["captioner"].params, np.zeros((1, 5, 32)), np.full((1, 4), 999)
    ),
    r"tokens: expected ids from 0 to \d+, .*; found 999 to 999",
  ),
  "a source of another size": (
    lambda s, d: _collect(s, Source(blank=np.zeros((64, 64, 3), np.uint8), size=64)),
    r"expected a blank of uint8 and shape \(32, 32, 3\), .*found uint8 of shape \(64",
  ),
  "a source that states another size": (
    lambda s, d: _collect(s, Source(size=(32, 16))),
    r"expected a size of 32 x 32 pixels, the network's; found \(32, 16\)",
  ),
  "a source of floats": (
    lambda s, d: _collect(s, Source(np.float32)),
    "number 0: expected uint8 .*, like the blank of its source; found float32",
  ),
  "a source that fails": (
    lambda s, d: _collect(s, Source(lambda image: 1 / 0)),
    r"load\(0\) failed with ZeroDivisionError.*raise milan_jax.UnreadableImageError",
  ),
  "a source that draws": (
    lambda s, d: _collect(s, Flipped()),
    r"images: load\(\d+\) returned another image the second time: .*flips",
  ),
  "a source that writes to its images": (
    lambda s, d: _collect(s, Reused()),
    r"load\(0\) returned an array that a later call of load has written to: return a",
  ),
  "a source of values from 0 to 1": (
    lambda s, d: _collect(s, Source(lambda image: image // 255)),
    "No value in the 8 sampled images is above 1: expected images from 0 to 255",
  ),
  "three gray images or one of colors": (
    lambda s, d: _collect(s, IMAGES[0].transpose(2, 0, 1)),
    r"\(3, 32, 32\) may be that of one RGB image .*images\[None\] makes",
  ),
  "masked images": (
    lambda s, d: _collect(s, np.ma.masked_greater(IMAGES, 100)),
    r"images: expected an array without a mask; .* give images.filled\(0\)",
  ),
  "exemplars of floats": (
    lambda s, d: s["captioner"].describe(Changed(s["exemplars"], lambda x: x / 255)),
    "exemplars: expected images of uint8, .*; found float64 of shape",
  ),
  "masks of some units before the first": (
    lambda s, d: _some_units().masks("conv2", [-1], [0]),
    "rows: expected 0 to 1; found -1",
  ),
  "an unknown layer of some units": (
    lambda s, d: _some_units().exemplars("zz"),
    "There is no layer 'zz'; the exemplars are of conv2",
  ),
  "features of other exemplars": (
    lambda s, d: s["captioner"].encode(
      Changed(
        s["exemplars"],
        layer=lambda x: dataclasses.replace(x, activations=x.activations + 1),
      ),
      "features",
    ),
    "^features holds features of other exemplars: choose another folder, or remove it",
  ),
  "features by another encoder": (
    lambda s, d: milan_jax.Captioner(
      dataclasses.replace(
        s["captioner"].release,
        encoder=dataclasses.replace(s["captioner"].release.encoder, mean=(0.1,) * 3),
      )
    ).describe(s["features"]),
    r"of another encoder \(mean\): encode the exemplars with this captioner",
  ),
  "masks of numbers": (
    lambda s, d: s["captioner"].describe(
      Changed(s["exemplars"], mask=lambda x: 255 * np.uint8(x))
    ),
    "exemplars: expected masks of bool .*; found uint8 of shape",
  ),
  "colors on another scale": (
    lambda s, d: milan_jax.Preprocessing(256, 224, "bilinear", (0.5,) * 3, (0.2,) * 3),
    "mean and std: expected numbers on the scale of 0 to 255; .*Preprocessing.of",
  ),
  "a crop larger than the image": (
    lambda s, d: milan_jax.Preprocessing(32, 64, "bilinear", (0.0,) * 3, (255.0,) * 3),
    "crop: expected at most 32 x 32 pixels, the size after resizing; found 64 x 64",
  ),
  "an unknown filter": (
    lambda s, d: milan_jax.Preprocessing(32, 32, "cubic", (0.0,) * 3, (255.0,) * 3),
    "interpolation: expected one of bilinear, bicubic; found 'cubic'",
  ),
  "a training of no states": (
    lambda s, d: milan_jax.TrainOptions.of(hidden_size=0),
    r"hidden_size: expected 1 to 65536; found 0\.",
  ),
  "a negative seed": (
    lambda s, d: milan_jax.SweepOptions.of(seed=-1),
    r"seed: expected 0 to \d+; found -1",
  ),
  "an infinite number": (
    lambda s, d: milan_jax.DescribeOptions.of(save_every=float("inf")),
    "save_every: expected a finite number; found inf",
  ),
  "a number beyond any float": (
    lambda s, d: milan_jax.TrainOptions.of(dropout=10**400),
    "dropout: expected a number; found 1000",
  ),
  "a root of no network": (
    lambda s, d: milan_jax.fetch_annotated("annotated", root=d),
    "^root=.*: it is where networks named in data are, and only folders are given",
  ),
  "options of a pass over images beside exemplars": (
    lambda s, d: milan_jax.describe(
      milan_jax.DescribeOptions.of(
        exemplars="runs/mine/exemplars", milan="captioner", k=3, workdir=d / "run"
      )
    ),
    r"exemplars: leave out k\.",
  ),
}
