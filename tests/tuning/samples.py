"""Tiny searches: a target, the request for it, and token ids in which each tells the next."""

from pathlib import Path
from typing import Any

import numpy as np

from storage import Storage, Uri

TARGET: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 100,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}
Body = dict[str, Any]


def token_ids(storage: Storage, uri: Uri, folder: Path) -> Body:
    """The `data` of a request."""
    np.save(folder / "ids.npy", (np.arange(4_000) * 7 % 100).astype(np.int32))
    storage.put(uri, (folder / "ids.npy").read_bytes())
    return {"uri": str(uri), "format": "tokens", "sequence_length": 16}


def search_body(data: Body, **changes: Any) -> Body:
    """A request for a short search of a few learning rates."""
    return {
        "target": TARGET,
        "proxy": {"width_ratio": 4},
        "data": data,
        "pretrain": {"steps": 10, "batch_size": 4},
        "search_space": {"learning_rate": {"powers_of_two": [-10, -3]}},
        "trials": 3,
    } | changes
