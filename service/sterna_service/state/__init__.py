"""What outlives the process: a database, its schema, and repositories over it."""
