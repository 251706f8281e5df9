"""A model grown in this process, without a service, and trained further with Hugging Face's `Trainer`.

    python -m examples.continue_with_trainer models/small models/manual.txt models/trained --steps 100

Needs `accelerate` beside transformers.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments, default_data_collator
from transformers.trainer_callback import PrinterCallback

from examples.optimizer import grown_optimizer
from examples.text import token_rows
from growth import grow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the folder of the small model")
    parser.add_argument("text", type=Path, help="a text file to train on")
    parser.add_argument("output", type=Path, help="where the trained model goes")
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        target = {"hidden_size": 128, "num_hidden_layers": 4}
        grown = grow(options.source, target, "lemon", output=Path(scratch) / "grown")
        tokenizer = AutoTokenizer.from_pretrained(grown)
        model: Any = AutoModelForCausalLM.from_pretrained(grown)
        optimizer = grown_optimizer(model, grown)
    rows, held_out = token_rows(tokenizer, options.text)
    trainer = Trainer(
        model,
        TrainingArguments(
            output_dir=str(options.output),
            max_steps=options.steps,
            per_device_train_batch_size=16,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=options.steps // 10,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            dataloader_pin_memory=torch.cuda.is_available(),
        ),
        train_dataset=[{"input_ids": row, "labels": row} for row in rows],
        eval_dataset=[{"input_ids": row, "labels": row} for row in held_out],
        # All rows are of one length, so that nothing is padded.
        data_collator=default_data_collator,
        processing_class=tokenizer,
        # The second is the scheduler, which Trainer makes itself: it scales the rate of every group alike.
        optimizers=(optimizer, None),
    )
    # What it would print is printed below, in words.
    trainer.remove_callback(PrinterCallback)
    print(f"held-out loss of the grown model: {trainer.evaluate()['eval_loss']:.3f}")
    trainer.train()
    print(f"held-out loss after {options.steps} steps: {trainer.evaluate()['eval_loss']:.3f}")
    trainer.save_model()


if __name__ == "__main__":
    main()
