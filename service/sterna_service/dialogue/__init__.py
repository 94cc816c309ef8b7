"""Spoken conversations: recognition, generation and synthesis in one stream."""
