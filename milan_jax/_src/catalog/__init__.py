"""The static page and its data."""
