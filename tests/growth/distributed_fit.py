"""One process of a fit that several share: `torchrun ... -m tests.growth.distributed_fit SOURCE OUT CASE [spread]`."""

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from growth.fit.ranks import Ranks
from tests.growth.fit_bench import BERT_PAD, GPT2_CLONING, LLAMA_PAD_TIED, Bench, quiet

CASES = {"llama": LLAMA_PAD_TIED, "gpt2": GPT2_CLONING, "bert": BERT_PAD}
OPTIONS = {"steps": 4, "held_out_every": 2, "gradient_accumulation": 2, "batch_size": 8}


def main() -> None:
    """Fits, and writes the curve and the sum of the factors' squares where this is the first process."""
    source, out, case, *spread = sys.argv[1:]
    torch.set_num_threads(1)
    # Before the group, in which transformers would let the first process alone write.
    bench = Bench.of(CASES[case], Path(source) / os.environ["RANK"], torch.float64, **OPTIONS)
    dist.init_process_group("gloo")
    outcome = bench.fit(Ranks(spread=bool(spread))).run(quiet, quiet)
    if dist.get_rank() == 0:
        told = [[point.step, point.loss, point.held_out_loss] for point in outcome.curve]
        Path(out).write_text(json.dumps(told))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
