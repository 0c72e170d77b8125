"""What `milan_jax` exports."""

# Notebooks show what the functions of this package return.
from milan_jax._src.api import notebooks as notebooks
