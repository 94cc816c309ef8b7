"""Loading and unloading models, in the words of the three servers that had it."""
