"""Logs: one line per thing that happened, and never what a user said."""
