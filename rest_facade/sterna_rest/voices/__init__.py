"""`/v1/voices`: the voices that speak."""
