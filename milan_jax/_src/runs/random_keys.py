"""Keys for random numbers, of one kind whatever `jax_default_prng_impl` says.

A seed then gives the same numbers in every program, and a stored key is read as it was
written.
"""

import jax

IMPL = "threefry2x32"
# Numbers that a key is made of.
WORDS = 2


def random_key(seed: jax.Array | int) -> jax.Array:
  """The key of a seed."""
  return jax.random.key(seed, impl=IMPL)


def key_of(data: jax.Array) -> jax.Array:
  """The key that is made of the given numbers, or several."""
  key: jax.Array = jax.random.wrap_key_data(data, impl=IMPL)
  return key
