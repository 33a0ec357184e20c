"""Measurements; each prints what docs/benchmarks.md quotes."""
