"""Pictures with known subjects from freely available Debian packages."""
