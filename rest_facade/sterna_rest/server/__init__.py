"""`/`, `/health` and `/ready`."""
