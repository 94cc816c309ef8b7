"""`/api/*`: models, conversations that the server keeps, and plain generation."""
