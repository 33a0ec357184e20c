"""Benchmarks of training: speed against peers, packing against padding, data preparation."""
