"""From exemplars to descriptions."""
