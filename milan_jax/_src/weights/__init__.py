"""Parameter files: state dicts, torch files, downloads."""
