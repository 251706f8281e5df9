"""Scripts to start from: a small model from nothing, and what to do with one that was grown from it."""

import os

# Torch's threads sleep while they wait for each other, rather than to keep the cores from the one that all wait for:
# with another busy program beside it, a step of a model this small takes a tenth of the time or less. It is read once,
# when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
