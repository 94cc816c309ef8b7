"""A tiny recogniser of spoken digits in Whisper's architecture, for honest tests."""
