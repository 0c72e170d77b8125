"""Pictures whose subject is known, and words, from Debian packages anyone can get."""
