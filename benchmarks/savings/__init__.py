"""How much of the training of a larger model each growth method saves."""
