"""Run by a test with eight devices: prints how activations differ with their number."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from milan_jax._src.images.preprocessing import Preprocessing
from milan_jax._src.models.backbones import Backbone
from milan_jax._src.models.backbones.parts import Conv, Linear, flatten
from milan_jax._src.probe.callable_model import CallableProbe
from milan_jax._src.probe.flax_backbone import FlaxProbe
from milan_jax._src.probe.linen_module import LinenProbe
from milan_jax._src.probe.nnx_module import NnxProbe

PREPROCESSING = Preprocessing(36, 33, "bilinear", (100.0, 110.0, 120.0), (50.0,) * 3)
PER_DEVICE = 3
LAYERS = ("conv", "fc")


class Tiny(nn.Module):
  num_classes: int | None = 37

  @nn.compact
  def __call__(self, images):
    maps = jnp.tanh(Conv(24, 3, stride=2, padding=1, name="conv")(images))
    return Linear(self.num_classes, name="fc")(flatten(maps))


class Mirror(nnx.Module):
  def __init__(self):
    rngs = nnx.Rngs(0)
    self.conv = nnx.Conv(3, 24, (3, 3), strides=2, rngs=rngs)
    self.drop = nnx.Dropout(0.5, rngs=rngs)
    self.fc = nnx.Linear(17 * 17 * 24, 37, rngs=rngs)

  def __call__(self, images):
    maps = jnp.tanh(self.conv(images))
    return self.fc(self.drop(maps).reshape(len(images), -1))


def probes(devices):
  backbone = Backbone("tiny", Tiny(), PREPROCESSING, "fc", ("conv",))
  params = backbone.init(jax.random.key(0))
  weights = jax.random.normal(jax.random.key(1), (3 * 33 * 33, 37))

  def function(images):
    maps = jax.nn.gelu(images) * 3
    return {"conv": maps, "fc": maps.reshape(len(images), -1) @ weights}

  return {
    "flax": FlaxProbe(backbone, params, devices=devices),
    "linen": LinenProbe(Tiny(), {"params": params}, PREPROCESSING, devices=devices),
    "nnx": NnxProbe(Mirror(), PREPROCESSING, devices=devices),
    "callable": CallableProbe(function, PREPROCESSING, devices=devices),
  }


def main():
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (8 * PER_DEVICE, 33, 33, 3), np.uint8)
  found = {}
  for number in (1, 2, 8):
    for kind, probe in probes(jax.local_devices()[:number]).items():
      assert probe.num_devices == number
      step = number * PER_DEVICE
      parts = [
        probe.activations(images[start : start + step], LAYERS)
        for start in range(0, len(images), step)
      ]
      for name in LAYERS:
        found.setdefault((kind, name), []).append(
          np.concatenate([np.asarray(part[name]) for part in parts])
        )
  different = {
    ".".join(key): float(max(np.abs(array - arrays[0]).max() for array in arrays))
    for key, arrays in found.items()
    if any(array.tobytes() != arrays[0].tobytes() for array in arrays)
  }
  default = FlaxProbe(Backbone("tiny", Tiny(), PREPROCESSING, "fc", ("conv",)), {})
  print(json.dumps({"different": different, "default": default.num_devices}))


if __name__ == "__main__":
  main()
