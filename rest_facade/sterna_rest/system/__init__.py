"""How models and the server do."""
