"""Runs: processes, locks, devices, progress, run directories."""
