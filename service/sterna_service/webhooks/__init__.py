"""Tells HTTP addresses what happens, signed as Standard Webhooks says."""
