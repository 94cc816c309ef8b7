"""What `sterna keys` does."""
