"""A Flax module that the command line finds by name."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class Linen(nn.Module):
  """Two convolutions."""

  @nn.compact
  def __call__(self, images):
    maps = nn.relu(nn.Conv(6, (7, 7), 8, name="stem")(images))
    return nn.Conv(10, (3, 3), 2, name="head")(maps)


def linen():
  module = Linen()
  return module, module.init(jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
