"""The options of everything, as nested dataclasses."""
