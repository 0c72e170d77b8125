"""Vision backbones in Flax Linen, NHWC, that return activations by layer name."""
