"""The real networks whose units were annotated, out of packages."""
