"""Sentence encoders: models that turn texts into vectors and do nothing else."""
