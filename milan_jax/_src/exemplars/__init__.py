"""Exemplar statistics: streaming top-k, thresholds and masks."""
