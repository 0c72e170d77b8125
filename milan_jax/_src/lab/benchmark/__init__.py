"""Benchmarks of the decoder, used only by `milan-bench`."""
