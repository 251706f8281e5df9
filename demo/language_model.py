"""A small Llama trained from nothing, in plain torch, in about a minute; and how such a model writes."""

import time
from collections.abc import Iterator
from math import cos, pi
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from demo.corpus import VOCAB_SIZE, byte_level_tokenizer

HIDDEN_SIZE, LAYERS, HEADS = 64, 4, 4
SEQUENCE_LENGTH = 128
BATCH_SIZE = 16
PEAK_LEARNING_RATE = 4e-3
WARMUP_SHARE = 0.05
NEW_TOKENS = 100


def train(text: str, folder: Path, steps: int, seconds: float, console: Console) -> int:
    """Trains for so many steps or seconds, whichever end first, saves model and tokenizer in `folder`; the steps."""
    torch.manual_seed(0)
    tokenizer = byte_level_tokenizer(text)
    lines = tokenizer(text.splitlines(keepends=True), return_attention_mask=False)["input_ids"]
    ids = torch.tensor([token for line in lines for token in line])
    model = LlamaForCausalLM(_config())
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.1)
    started, done = time.monotonic(), 0
    with Progress(console=console) as progress:
        task = progress.add_task("training", total=1.0)
        for batch in _batches(ids):
            share = max(done / steps, (time.monotonic() - started) / seconds)
            if share >= 1:
                break
            loss = _step(model, optimizer, batch, _learning_rate(share))
            done += 1
            progress.update(task, completed=share, description=f"step {done}: loss {loss:.3f}")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return done


def write(folder: Path, prompt: str) -> str:
    """What the model in `folder` writes after `prompt`, by stock transformers."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokens = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
    written = model.generate(**tokens, max_new_tokens=NEW_TOKENS, do_sample=True, temperature=0.6, top_k=40)
    return str(tokenizer.decode(written[0], skip_special_tokens=True))


def _config() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=HIDDEN_SIZE,
        intermediate_size=3 * HIDDEN_SIZE,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=2 * SEQUENCE_LENGTH,
        bos_token_id=0,
        eos_token_id=0,
    )


def _batches(ids: Tensor) -> Iterator[Tensor]:
    """Batches [sequence, token] from random places, without end."""
    places = torch.arange(SEQUENCE_LENGTH)
    while True:
        starts = torch.randint(len(ids) - SEQUENCE_LENGTH, (BATCH_SIZE, 1))
        yield ids[starts + places]


def _step(model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, batch: Tensor, learning_rate: float) -> float:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    loss = model(input_ids=batch, labels=batch).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


def _learning_rate(share: float) -> float:
    """Warm-up, then half a cosine, over the share of the training that has passed."""
    if share < WARMUP_SHARE:
        return PEAK_LEARNING_RATE * share / WARMUP_SHARE
    return PEAK_LEARNING_RATE * (1 + cos(pi * (share - WARMUP_SHARE) / (1 - WARMUP_SHARE))) / 2
