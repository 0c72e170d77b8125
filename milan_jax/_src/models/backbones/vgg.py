"""VGG, with torchvision's layers and names."""

from collections.abc import Iterator
from functools import partial

import flax.linen as nn
from jaxtyping import Array

from milan_jax._src.models.backbones.parts import (
  AveragePool,
  BatchNorm,
  Conv,
  Dropout,
  Linear,
  Maps,
  MaxPool,
  Part,
  Relu,
  Sequential,
  flatten,
)

_WIDTHS = (64, 128, 256, 512, 512)


class Vgg(nn.Module):
  """VGG: stages of 3 x 3 convolutions, each followed by max pooling.

  Attributes:
    depths: number of convolutions of each stage.
    normalized: whether a batch norm follows each convolution.
    num_classes: number of outputs of the classifier; None for no classifier.

  Source: Simonyan and Zisserman 2015, configurations A, B, D and E.
  """

  depths: tuple[int, ...]
  normalized: bool = False
  num_classes: int | None = 1000

  @nn.compact
  def __call__(self, images: Maps) -> Array:
    maps = Sequential(tuple(self._features()), name="features")(images)
    maps = AveragePool(7, name="avgpool")(maps)
    if self.num_classes is None:
      return maps
    classifier = (
      partial(Linear, 4096),
      Relu,
      Dropout,
      partial(Linear, 4096),
      Relu,
      Dropout,
      partial(Linear, self.num_classes),
    )
    return Sequential(classifier, name="classifier")(flatten(maps))

  def _features(self) -> Iterator[Part]:
    for width, depth in zip(_WIDTHS, self.depths, strict=True):
      for _ in range(depth):
        yield partial(Conv, width, 3, padding=1, bias=True)
        if self.normalized:
          yield BatchNorm
        yield Relu
      yield partial(MaxPool, 2, 2)


def last_relus(depths: tuple[int, ...], *, normalized: bool) -> tuple[str, ...]:
  """Returns the name of each stage's last ReLU."""
  names, index = [], 0
  for depth in depths:
    index += depth * (3 if normalized else 2)
    names.append(f"features.{index - 1}")
    index += 1  # the pooling
  return tuple(names)
