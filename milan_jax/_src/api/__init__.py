"""What `milan_jax` exports."""
