"""Searching the web: providers, pages fetched with care, and what is worth reading in them."""
