"""Measurements for people to run: side by side, in one run, written to `benchmarks/results/`."""
