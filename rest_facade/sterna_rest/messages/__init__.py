"""`/v1/messages`, as Anthropic's API has it."""
