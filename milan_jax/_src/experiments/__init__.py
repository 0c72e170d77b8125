"""Experiments on captioners: text scores, generalization, sweeps."""
