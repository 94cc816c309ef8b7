"""The native engine, as asyncio sees it. No other package imports the extension."""
