"""GGUF files: read with every length checked, and turned into a checkpoint directory."""
