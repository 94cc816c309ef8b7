"""From a request for text to a stream of text: templates, tokens, sampling, stop strings."""
