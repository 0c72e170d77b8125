"""The network of the recorded exemplars and images, and small stand-ins for both."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

from milan_jax._src.images.preprocessing import TORCHVISION
from milan_jax._src.probe.callable_model import CallableProbe
from milan_jax._src.probe.torch_module import TorchProbe

LAYERS = ("conv1", "layer1", "layer2", "layer3")
KEYS = ("conv1", "layer1.0", "layer2.0", "layer3.0")  # of their weights


def network() -> nn.Module:
  """The architecture of the recorded network, with weights of its own."""
  torch.manual_seed(0)
  model = nn.Sequential()
  model.conv1 = nn.Conv2d(3, 8, 3, 2, 1)
  model.relu = nn.ReLU()
  for index, (inputs, outputs) in enumerate([(8, 12), (12, 16), (16, 20)], start=1):
    stage = nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.ReLU())
    setattr(model, f"layer{index}", stage)
  model.pool = nn.AdaptiveAvgPool2d(1)
  model.flatten = nn.Flatten()
  model.fc = nn.Linear(20, 10)
  return model


def probe(image_size: int = 64, weights=None, device: str = "cpu") -> TorchProbe:
  model = network()
  if weights is not None:
    model.load_state_dict(
      {name: torch.tensor(array) for name, array in weights.items()}
    )
  return TorchProbe(model, image_size, device=device)


def jax_probe(weights) -> CallableProbe:
  """The recorded network in JAX."""

  def function(images):
    found = {}
    for name, key in zip(LAYERS, KEYS, strict=True):
      kernel = jnp.asarray(weights[f"{key}.weight"]).transpose(2, 3, 1, 0)
      images = jax.lax.conv_general_dilated(
        images,
        kernel,
        (2, 2),
        ((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
      )
      images = images + jnp.asarray(weights[f"{key}.bias"])[None, None, None]
      # The first layer is read before its ReLU, the others after it.
      found[name] = images
      images = jax.nn.relu(images)
      if key != name:
        found[name] = images
    return found

  size = {"resize": 64, "crop": 64}
  return CallableProbe(function, dataclasses.replace(TORCHVISION, **size))


def images(number: int = 40, size: int = 32, seed: int = 0) -> np.ndarray:
  rng = np.random.default_rng(seed)
  coarse = rng.integers(0, 256, (number, 4, 4, 3), np.uint8)
  fine = rng.integers(0, 60, (number, size, size, 3), np.uint8)
  return coarse.repeat(size // 4, axis=1).repeat(size // 4, axis=2) // 2 + fine
