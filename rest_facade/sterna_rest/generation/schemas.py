"""What the answers of chat and text completions have in common."""

from __future__ import annotations

from pydantic import BaseModel, Field


class PromptDetails(BaseModel):
    """Where OpenAI clients look for `cached_tokens`."""

    cached_tokens: int


class UsageBody(BaseModel):
    """Tokens of the whole request, all its choices together."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int = Field(description="Prompt tokens whose computation was reused.")
    prompt_tokens_details: PromptDetails
