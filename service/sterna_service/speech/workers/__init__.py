"""What runs in the worker processes. Nothing here is imported by the server itself."""
