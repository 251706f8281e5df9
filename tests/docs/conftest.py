"""The checkpoint that the examples speak of: 256 wide, 4 layers."""

from pathlib import Path

import pytest

from tests.tiny import tiny_llama


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the pages call `/models`."""
    folder = tmp_path_factory.mktemp("models")
    tiny_llama(folder / "small", hidden_size=256, intermediate_size=256, num_hidden_layers=4)
    return folder
