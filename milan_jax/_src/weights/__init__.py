"""Files of parameters: state dicts, torch files, downloads."""
