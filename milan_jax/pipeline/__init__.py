"""The corridor: wires the rooms for the commands."""
