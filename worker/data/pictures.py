"""Encoded images as the numbers that a model reads, by the source's own preprocessor_config.json."""

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoImageProcessor
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from growth.config import ModelConfig
from growth.errors import InvalidData
from growth.source import Folder
from worker.tokenizer import read_small

PREPROCESSOR = "preprocessor_config.json"
MAX_PIXELS = 1 << 25
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True, slots=True)
class Picture:
    """One image, still encoded, and perhaps still in storage."""

    name: str
    """What messages call it by."""
    label: int | None
    """None where the model has no classifier."""
    read: Callable[[], bytes]


class Preparation:
    """How pictures become `pixel_values` [channels, height, width], of the config's own image size."""

    def __init__(self, source: Folder, config: ModelConfig) -> None:
        """Raises InvalidData where the model's images have other channels than a picture may have, or transformers
        can't read the source's preprocessor_config.json."""
        self._shape = config.architecture.inputs(config)[0].shape
        channels, height, width = self._shape
        if channels not in _MODES:
            raise InvalidData(
                f"The model reads images of {channels} channels, and only 1, 3 or 4 can be made of a picture; leave "
                "the data out."
            )
        self._mode = _MODES[channels]
        self._processor = _processor(source, channels)
        # The file may be that of a model for images of another size.
        key = "crop_size" if getattr(self._processor, "do_center_crop", None) else "size"
        self._sizes = {key: {"height": height, "width": width}}

    def pixels(self, picture: Picture) -> NDArray[np.float32]:
        """The picture in float32. Raises InvalidData where it can't be decoded."""
        image = _decoded(picture, self._mode)
        try:
            found = self._processor([image], return_tensors="np", input_data_format=None, **self._sizes)
        except ValueError as error:
            raise InvalidData(f"{picture.name} can't be prepared as {PREPROCESSOR} says; correct that file.") from error
        pixels: NDArray[np.float32] = np.asarray(found["pixel_values"][0], dtype=np.float32)
        if pixels.shape != self._shape:
            raise InvalidData(
                f"{picture.name} is prepared as {list(pixels.shape)}, and the model reads {list(self._shape)}; let "
                f"{PREPROCESSOR} resize it."
            )
        return pixels


def _decoded(picture: Picture, mode: str) -> Image.Image:
    content = picture.read()
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            _check_pixels(picture, image)
            return image.convert(mode)
    except InvalidData:
        raise
    except Exception as error:  # every format fails in its own way
        raise InvalidData(
            f"{picture.name} can't be decoded as a PNG, JPEG, WebP or BMP image; convert it, or leave it out."
        ) from error


def _check_pixels(picture: Picture, image: Image.Image) -> None:
    # What the head tells: nothing is unpacked yet.
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InvalidData(
            f"{picture.name} is {width} by {height} pixels; at most {MAX_PIXELS} are read, so make it smaller."
        )


def _processor(source: Folder, channels: int) -> Any:
    """transformers' own, in numpy; that of ViT where the source has none."""
    if PREPROCESSOR not in source.names():
        return ViTImageProcessorPil(image_mean=[0.5] * channels, image_std=[0.5] * channels)
    with tempfile.TemporaryDirectory() as folder:
        for name in (PREPROCESSOR, "config.json"):
            Path(folder, name).write_bytes(read_small(source, name))
        try:
            return AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
                folder, local_files_only=True, trust_remote_code=False, backend="pil"
            )
        except Exception as error:
            raise InvalidData(
                f"The source's {PREPROCESSOR} can't be read by transformers; write it again with save_pretrained, or "
                "take it away.",
                field="/source",
            ) from error
