"""The source's own tokenizer, read from the files beside its weights."""

import tempfile
from pathlib import Path
from typing import Any, Protocol

from transformers import AutoTokenizer

from growth.carried import TOKENIZER_FILES
from growth.errors import InvalidData
from growth.source import Folder

MAX_FILE_BYTES = 64 << 20
"""The largest tokenizers are a quarter of that."""


def read_small(source: Folder, name: str, field: str = "/source") -> bytes:
    """A file that transformers reads whole. Raises InvalidData where it is too large for one."""
    if (size := source.size(name)) > MAX_FILE_BYTES:
        raise InvalidData(f"The file {name} has {size} bytes; at most {MAX_FILE_BYTES} are read.", field=field)
    return source.read(name)


class Tokenizer(Protocol):
    """What is used of a transformers tokenizer."""

    eos_token_id: int | None
    cls_token_id: int | None
    sep_token_id: int | None
    mask_token_id: int | None

    @property
    def all_special_ids(self) -> list[int]: ...

    def __call__(self, text: list[str], *, add_special_tokens: bool) -> Any: ...


def load_tokenizer(source: Folder) -> Tokenizer:
    """The source's own tokenizer. Raises InvalidData where there is none, or transformers can't read it."""
    names = set(source.names())
    present = [name for name in TOKENIZER_FILES if name in names]
    with tempfile.TemporaryDirectory() as folder:
        for name in (*present, "config.json"):
            Path(folder, name).write_bytes(read_small(source, name))
        try:
            if not present:
                raise ValueError("no tokenizer files")
            tokenizer: Tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, clean_up_tokenization_spaces=False
            )
        except Exception as error:
            raise InvalidData(
                "The source has no tokenizer that transformers can read, so text can't be turned into tokens.",
                hint='Put tokenizer.json beside the weights, or give token ids: {"format": "tokens"}.',
            ) from error
    return tokenizer
