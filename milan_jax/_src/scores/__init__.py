"""Text scores of descriptions against what people wrote, with baselines."""
