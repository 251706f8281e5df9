"""A source and what was grown from it, under the LM Evaluation Harness: as equal as their method promises.

    pip install lm-eval
    python -m examples.evaluate_with_lm_eval models/small models/large --text models/manual.txt

Without `--tasks` it measures the bits per byte on the text, for which nothing is downloaded; `--tasks lambada_openai`,
say, takes tasks of the harness instead, which fetch their data themselves.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

LOCAL_TASK = """
task: own_text
dataset_path: text
dataset_kwargs: {{data_files: {{test: "{text}"}}, sample_by: paragraph}}
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - {{metric: bits_per_byte}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", help="folders of checkpoints")
    parser.add_argument("--text", type=Path, help="a text file, paragraphs apart by empty lines")
    parser.add_argument("--tasks", nargs="+", help="tasks of the harness")
    parser.add_argument("--limit", type=int, default=20, help="how many examples of each task")
    options = parser.parse_args()
    try:
        from lm_eval import simple_evaluate
        from lm_eval.tasks import TaskManager
    except ImportError:
        sys.exit("This example needs the LM Evaluation Harness: run `pip install lm-eval`.")
    if (options.text is None) == (options.tasks is None):
        parser.error("name either a --text or --tasks")

    with TemporaryDirectory() as folder:
        if options.text is not None:
            (Path(folder) / "own_text.yaml").write_text(LOCAL_TASK.format(text=options.text.resolve()))
        for model in options.models:
            found = simple_evaluate(
                model="hf",
                model_args={"pretrained": str(model), "dtype": "float32"},
                device="cuda" if torch.cuda.is_available() else "cpu",
                tasks=options.tasks or ["own_text"],
                task_manager=TaskManager(include_path=folder),
                limit=options.limit,
            )
            for task, metrics in found["results"].items():
                told = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items() if isinstance(value, float))
                print(f"{model.name}: {task}: {told}")


if __name__ == "__main__":
    main()
