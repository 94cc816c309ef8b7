"""`/v1/embeddings`, `/v1/similarities` and `/api/embeddings`."""
