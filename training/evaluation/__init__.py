"""What the exported model can do, measured on questions and phrasings that were never trained."""
