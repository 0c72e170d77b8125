"""Search over descriptions, independent of the model."""
