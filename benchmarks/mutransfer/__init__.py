"""Whether the best learning rate stays where it is when a model widens: muP against the standard parametrisation."""
