"""Training of the language model and the captioner."""
