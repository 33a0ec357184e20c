"""Measurements of the spam checker; see docs/benchmarks.md and docs/experiments.md."""
