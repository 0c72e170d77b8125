"""Exemplar statistics: streaming top-k, levels and masks."""
