"""What the commands about the model store do."""
