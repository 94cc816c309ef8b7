"""Checkpoints with random weights, for tests and for measurements of speed."""
