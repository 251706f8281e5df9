"""The whole service shown at work on this machine: `python -m demo`."""
