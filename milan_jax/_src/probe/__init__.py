"""Activation extractors: one `Probe` protocol, one file per kind of model."""
