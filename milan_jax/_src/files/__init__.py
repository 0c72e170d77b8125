"""Reading and writing files with care."""
