"""scikit-learn's scans of handwritten digits as data for models of images."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

_FOUND = load_digits()
IMAGES = [Image.fromarray((image * 15.9).astype(np.uint8)) for image in _FOUND.images]
TARGETS = [int(label) for label in _FOUND.target]
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
LABELS: Mapping[str, Any] = {
    "id2label": {str(n): name for n, name in enumerate(NAMES)},
    "label2id": {name: n for n, name in enumerate(NAMES)},
}
SIZE: Mapping[str, Any] = {"image_size": 16, "patch_size": 4, "num_channels": 1}


def encoded(image: Image.Image, kind: str = "png") -> bytes:
    """The bytes of an image file."""
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()
