"""Which models there are, what they are called, and which of them can answer."""
