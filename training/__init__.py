"""How the embedded model is made: corpus, tokenizer, training, evaluation, export.

Nothing in the server imports this package. `python -m training.run --help` is the way in.
"""
