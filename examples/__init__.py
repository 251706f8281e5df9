"""Scripts to start from: a small model from nothing, and what to do with one that was grown from it."""
