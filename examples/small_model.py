"""A small Llama trained from nothing on text that every Python carries, its own manual: a source to grow.

python -m examples.small_model models/small models/manual.txt --steps 300
"""

import argparse
from pathlib import Path
from pydoc_data.topics import topics

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from examples.optimizer import KNOWN
from examples.text import held_out_loss, token_rows

VOCAB_SIZE = 768
BATCH_SIZE = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the model goes")
    parser.add_argument("text", type=Path, help="where the text goes that it was trained on")
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()

    torch.manual_seed(0)
    options.text.parent.mkdir(parents=True, exist_ok=True)
    options.text.write_text("\n\n".join(topics[name] for name in sorted(topics)), encoding="utf-8")
    tokenizer = trained_tokenizer(options.text.read_text(encoding="utf-8"))
    rows, held_out = token_rows(tokenizer, options.text)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCAB_SIZE,
            hidden_size=64,
            intermediate_size=192,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=256,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=KNOWN["learning_rate"], betas=KNOWN["betas"], weight_decay=KNOWN["weight_decay"]
    )
    for _ in range(options.steps):
        batch = rows[torch.randint(len(rows), (BATCH_SIZE,))]
        model.train()(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    print(f"held-out loss after {options.steps} steps: {held_out_loss(model, held_out):.3f}")
    model.save_pretrained(options.folder)
    tokenizer.save_pretrained(options.folder)


def trained_tokenizer(text: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer of VOCAB_SIZE tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    wrapped: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token="<|end|>", eos_token="<|end|>"
    )
    return wrapped


if __name__ == "__main__":
    main()
