"""AlexNet, with torchvision's layers and names."""

from functools import partial

import flax.linen as nn
from jaxtyping import Array

from milan_jax._src.models.backbones.parts import (
  AveragePool,
  Conv,
  Dropout,
  Linear,
  Maps,
  MaxPool,
  Relu,
  Sequential,
  flatten,
)

_POOL = partial(MaxPool, 3, 2)
_FEATURES = (
  partial(Conv, 64, 11, stride=4, padding=2, bias=True),
  Relu,
  _POOL,
  partial(Conv, 192, 5, padding=2, bias=True),
  Relu,
  _POOL,
  partial(Conv, 384, 3, padding=1, bias=True),
  Relu,
  partial(Conv, 256, 3, padding=1, bias=True),
  Relu,
  partial(Conv, 256, 3, padding=1, bias=True),
  Relu,
  _POOL,
)


class AlexNet(nn.Module):
  """AlexNet, where `features.1` is `features.0` after its ReLU, and so on.

  In torchvision each ReLU overwrites its input, so that a hook on `features.0` whose
  tensor is read later sees `features.1`. Here the activation of a layer is the value
  that the layer returned.

  Attributes:
    num_classes: number of outputs of the classifier; None for no classifier.

  Source: Krizhevsky 2014, "One weird trick".
  """

  num_classes: int | None = 1000

  @nn.compact
  def __call__(self, images: Maps) -> Array:
    maps = Sequential(_FEATURES, name="features")(images)
    maps = AveragePool(6, name="avgpool")(maps)
    if self.num_classes is None:
      return maps
    classifier = (
      Dropout,
      partial(Linear, 4096),
      Relu,
      Dropout,
      partial(Linear, 4096),
      Relu,
      partial(Linear, self.num_classes),
    )
    return Sequential(classifier, name="classifier")(flatten(maps))
