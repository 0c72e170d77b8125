"""What the examples of the public names begin with."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import milan_jax
from tests.helpers.tiny_release import tiny_release


class TwoLayers(nn.Module):
  """Two convolutions over images of 32 x 32 pixels."""

  @nn.compact
  def __call__(self, images):
    hidden = nn.relu(nn.Conv(4, (3, 3), (2, 2), name="conv1")(images))
    return nn.relu(nn.Conv(8, (3, 3), (2, 2), name="conv2")(hidden))


def make_scene(folder):
  """Names that examples may use; what they read is in `folder`."""
  rng = np.random.default_rng(0)
  coarse = rng.integers(0, 256, (24, 4, 4, 3), np.uint8)
  images = coarse.repeat(8, 1).repeat(8, 2)
  module = TwoLayers()
  variables = module.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
  network = milan_jax.probe(module, variables, image_size="32")
  exemplars = milan_jax.collect(
    network, images, layers=["conv2"], k=5, workdir=folder / "runs" / "mine"
  )
  # Greedily: of all searches that compiles fastest.
  decoding = milan_jax.Decoding("greedy", length=4)
  release = dataclasses.replace(tiny_release(), decoding=decoding)
  captioner = milan_jax.Captioner(release)
  captioner.save(folder / "captioner")
  features = captioner.encode(exemplars, folder / "runs" / "mine" / "features")
  captioner.encode(exemplars, folder / "features")
  milan_jax.write_original(
    folder / "annotated",
    exemplars,
    {milan_jax.Unit("conv2", unit): ("red dots", "red things") for unit in range(8)},
  )
  milan_jax.describe(
    milan_jax.DescribeOptions.of(
      exemplars=str(folder / "runs" / "mine" / "exemplars"),
      milan=str(folder / "captioner"),
      workdir=str(folder / "finished"),
      batch_size=8,
      page=False,
    )
  )
  names = {
    "milan_jax": milan_jax,
    "jax": jax,
    "jnp": jnp,
    "np": np,
    "module": module,
    "variables": variables,
    "images": images,
    "network": network,
    "exemplars": exemplars,
    "captioner": captioner,
    "features": features,
    "descriptions": captioner.describe(features),
  }
  return names
