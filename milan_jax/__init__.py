"""Natural-language descriptions of the units of vision networks, in JAX."""

from milan_jax._src.version import __version__

TYPE_CHECKING = False  # typing itself takes longer to import than the rest
if TYPE_CHECKING:
  from milan_jax._src.store.pretrained import load_milan, pretrained

__all__ = ["__version__", "load_milan", "pretrained"]


def __getattr__(name: str) -> object:
  """Loads a captioner's reader when it is first asked for: importing JAX takes time."""
  if name in ("load_milan", "pretrained"):
    from milan_jax._src.store import pretrained

    return getattr(pretrained, name)
  raise AttributeError(f"module 'milan_jax' has no attribute {name!r}")
