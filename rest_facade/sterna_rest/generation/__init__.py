"""What chat and text completions share: sampling fields, usage, log-probabilities, the call."""
