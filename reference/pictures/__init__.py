"""The pictures of the documentation that are drawn by code: `python -m reference.pictures docs/images`."""
