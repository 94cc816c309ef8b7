"""`sterna chat`: a conversation in the terminal."""
