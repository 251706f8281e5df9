"""A grown model trained further, in a plain torch loop, with the parameter groups of its `training.json`.

python -m examples.continue_with_torch models/large models/manual.txt models/trained --steps 100
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from examples.optimizer import grown_optimizer
from examples.text import held_out_loss, token_rows

BATCH_SIZE = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grown", type=Path, help="the folder of the grown model")
    parser.add_argument("text", type=Path, help="a text file to train on")
    parser.add_argument("output", type=Path, help="where the trained model goes")
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(options.grown)
    model: Any = AutoModelForCausalLM.from_pretrained(options.grown)
    rows, held_out = token_rows(tokenizer, options.text)
    optimizer = grown_optimizer(model, options.grown)
    print(f"held-out loss of the grown model: {held_out_loss(model, held_out):.3f}")
    for _ in range(options.steps):
        batch = rows[torch.randint(len(rows), (BATCH_SIZE,))]
        model.train()(input_ids=batch, labels=batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    print(f"held-out loss after {options.steps} steps: {held_out_loss(model, held_out):.3f}")
    model.save_pretrained(options.output)
    tokenizer.save_pretrained(options.output)


if __name__ == "__main__":
    main()
