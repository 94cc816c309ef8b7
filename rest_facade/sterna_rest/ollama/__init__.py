"""Ollama's own API, on listeners that are marked for it."""
