"""Evaluation: what a checkpoint or a bundle is worth, measured on held-out data."""
