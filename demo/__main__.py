"""`python -m demo`: a real encoder and a small language model, grown over HTTP by a service that the demo starts."""

import shutil
import time
from pathlib import Path

import torch
from rich.console import Console
from transformers.utils import logging

from client.errors import LocalServiceError
from client.state import StateFolder
from demo import encoder, report
from demo.corpus import standard_library
from demo.growing import grow_by_every_method
from demo.language_model import train, write
from demo.local import service

FOLDER = Path(".demo").resolve()
TRAINING_STEPS, TRAINING_SECONDS = 1000, 75.0
FITTED_CHARACTERS = 600_000
PROMPT = "The statement"


def main() -> None:
    """Runs the three parts; everything is written below .demo/."""
    started = time.monotonic()
    console = Console()
    # Models this small are no faster on more threads, and much slower where another program wants the cores too.
    torch.set_num_threads(1)
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    _clear()
    with service(FOLDER / "service") as client:
        console.rule("1. A pretrained encoder, twice as wide")
        encoder.show(client, FOLDER, console)
        console.rule("2. A small language model, twice as wide and twice as deep")
        source, corpus = FOLDER / "source", FOLDER / "corpus"
        _prepare(source, corpus, console)
        growths = grow_by_every_method(client, source, corpus, FOLDER / "grown", console)
        console.print(report.table(growths))
        report.plot(growths, FOLDER / "losses.png")
        console.print(f"The same as a plot: {FOLDER / 'losses.png'}")
    console.rule("3. Text by the model that LiGO grew, in stock transformers")
    console.print(write(FOLDER / "grown" / "ligo", PROMPT), markup=False, highlight=False)
    console.rule(f"Done in {time.monotonic() - started:.0f} s")


def _clear() -> None:
    """Removes what the last demo left."""
    try:
        # Refused while another demo's service is at work in there.
        with StateFolder.taken(FOLDER / "service"):
            pass
    except LocalServiceError as error:
        raise SystemExit(str(error)) from None
    shutil.rmtree(FOLDER)


def _prepare(source: Path, corpus: Path, console: Console) -> None:
    """Trains the source; leaves text for the fits, at its end what no training has seen."""
    trained, held_out = standard_library()
    corpus.mkdir()
    (corpus / "1-trained.txt").write_text(trained[:FITTED_CHARACTERS])
    (corpus / "2-held-out.txt").write_text(held_out)
    steps = train(trained, source, TRAINING_STEPS, TRAINING_SECONDS, console)
    console.print(f"Trained for {steps} steps.")


if __name__ == "__main__":
    main()
