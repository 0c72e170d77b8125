"""The implementation; only what `milan_jax` exports is public."""
