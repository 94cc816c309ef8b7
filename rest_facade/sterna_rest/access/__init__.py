"""Lets requests in: the core judges their keys and counts them, before their bodies are read."""
