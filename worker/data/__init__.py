"""The data of a request as the corpus of a fit: text, token ids or labelled images, read from storage as needed."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from growth.config import ModelConfig, read_int
from growth.errors import InvalidData
from growth.inputs import refuse_corpus
from growth.source import Folder
from jobs.schema import Data
from storage import ObjectStore, Uri
from worker.corpus import Collate, Corpus
from worker.data import token_files
from worker.data.documents import KeptRuns, Texts, TokenisedRuns
from worker.data.files import DataFile, fingerprint, list_files
from worker.data.image_corpus import load_images
from worker.data.lines import JsonLines, PlainText
from worker.data.masking import Masking
from worker.data.packing import PackedSequences, Runs
from worker.data.tables import TableTexts
from worker.tokenizer import Tokenizer, load_tokenizer

KEPT_BYTES = 16 << 20
"""A corpus of files that are no larger together is tokenised once and kept."""
_ENDINGS = {"tokens": token_files.ENDINGS, "parquet": (".parquet",)}


def load_corpus(
    store: ObjectStore, data: Data, source: Folder, config: ModelConfig, *, batch_size: int, seed: int
) -> Corpus:
    """The corpus at `data.uri` for a model with `config`; of text and tokens, the first block of sequences is read.

    Raises InvalidData where it is empty, too short for two sequences, not in the format named or not of this
    vocabulary, where the model has no use for the format, or where the source carries no tokenizer to read it with.
    What is wrong further on raises InvalidData when its batch is asked for.
    """
    refuse_corpus(config, data.format)
    if config.architecture.objective == "image_classification":
        return load_images(store, data, source, config, batch_size=batch_size, seed=seed)
    _check_length(data, config)
    files = list_files(store, Uri.parse(data.uri), _ENDINGS.get(data.format, ()))
    masked = config.architecture.objective == "masked_lm"
    tokenizer = load_tokenizer(source) if masked or data.format != "tokens" else None
    runs = _runs(files, data, config, tokenizer, masked=masked)
    if sum(file.size for file in files) <= KEPT_BYTES:
        runs = KeptRuns(runs)
    frame = _frame(tokenizer) if tokenizer is not None and masked and data.format != "tokens" else ()
    sequences = PackedSequences(runs, data, frame, seed, fingerprint(files))
    masking = Masking.of(tokenizer, config.sizes.vocab_size) if tokenizer is not None and masked else None
    return Corpus(sequences, _collate(masking), batch_size=batch_size, seed=seed)


def _check_length(data: Data, config: ModelConfig) -> None:
    positions = config.sizes.fixed.get("positions") or read_int(config.raw, "max_position_embeddings", 2048)
    if data.sequence_length > positions:
        raise InvalidData(
            f"sequence_length {data.sequence_length} is more than the model's {positions} positions; ask for fewer.",
            field="/data/sequence_length",
        )


def _runs(files: list[DataFile], data: Data, config: ModelConfig, tokenizer: Tokenizer | None, *, masked: bool) -> Runs:
    vocab_size = config.sizes.vocab_size
    if data.format == "tokens":
        return token_files.TokenRuns(files, data.token_dtype, vocab_size)
    assert tokenizer is not None
    return TokenisedRuns(_texts(files, data), tokenizer, None if masked else tokenizer.eos_token_id, vocab_size)


def _texts(files: list[DataFile], data: Data) -> Texts:
    if data.format == "text":
        return PlainText(files)
    return JsonLines(files, data.text_field) if data.format == "jsonl" else TableTexts(files, data.text_field)


def _frame(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids that stand before and after every sequence of a masked-LM model."""
    if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
        return ()
    return (tokenizer.cls_token_id, tokenizer.sep_token_id)


def _collate(masking: Masking | None) -> Collate:
    def collate(rows: Sequence[NDArray[np.int32]], generator: torch.Generator) -> dict[str, Tensor]:
        ids = torch.from_numpy(np.stack(rows).astype(np.int64))
        return {"input_ids": ids, "labels": ids} if masking is None else masking.corrupt(ids, generator)

    return collate
