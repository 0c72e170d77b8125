"""Measuring the decoder: a side wing that only the command line enters."""
