"""Flax modules: backbones, region encoder, captioner, language model."""
