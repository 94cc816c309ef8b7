"""The client of Sterna."""
