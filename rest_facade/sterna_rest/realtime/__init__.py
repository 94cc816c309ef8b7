"""`WS /v1/realtime`: spoken conversations, with the events of OpenAI's Realtime API."""
