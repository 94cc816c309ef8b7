"""`/v1/audio/*` and `/v1/tts`: speech to text and text to speech."""
