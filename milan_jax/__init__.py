"""Natural-language descriptions of the units of vision networks, in JAX."""

from milan_jax.version import __version__

__all__ = ["__version__"]
