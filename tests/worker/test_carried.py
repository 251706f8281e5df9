"""The small files beside the weights: what is carried over byte for byte, what is left behind, and the model card."""

from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from storage import Uri
from tests.worker.conftest import MakeFarm
from tests.worker.direct import run_attempt
from tests.worker.farm import Farm

CARRIED = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "chat_template.jinja",
    "preprocessor_config.json",
    "processor_config.json",
    "generation_config.json",
    "LICENSE",
    "NOTICE",
)
LEFT = (
    "pytorch_model.bin",
    "optimizer.pt",
    "optimizer.safetensors",
    "scheduler.pt",
    "rng_state.pth",
    "training_args.bin",
    "trainer_state.json",
    "adapter_model.safetensors",
    "model.fp16.safetensors",
    "modeling_custom.py",
    "modules.json",
    ".gitattributes",
)


def metadata(farm: Farm, output: str) -> Any:
    """The front matter of the output's card, as the hub's own client reads it."""
    return ModelCard(card(farm, output)).data.to_dict()  # type: ignore[no-untyped-call]


def card(farm: Farm, output: str) -> str:
    return farm.storage.read(Uri.parse(output).join("README.md")).decode()


@pytest.fixture
def folder(llama: Path, tmp_path: Path) -> Path:
    """A copy of the tiny Llama, to add files to."""
    return Path(copytree(llama, tmp_path / "small"))


def test_small_files_are_carried_over_byte_for_byte(make_farm: MakeFarm, folder: Path) -> None:
    for name in {*CARRIED, *LEFT} - {path.name for path in folder.iterdir()}:
        (folder / name).write_bytes(b"\x00\xff\r\n" + name.encode())
    farm = make_farm()
    result = run_attempt(farm, farm.request(farm.upload(folder)))
    written = farm.objects(Uri.parse(result.output))
    assert all(written[name] == (folder / name).read_bytes() for name in CARRIED)
    assert not written.keys() & set(LEFT)


def test_an_empty_file_is_carried_over(any_farm: Farm, folder: Path) -> None:
    (folder / "merges.txt").write_bytes(b"")
    (folder / "README.md").write_bytes(b"")
    result = run_attempt(any_farm, any_farm.request(any_farm.upload(folder)))
    assert any_farm.objects(Uri.parse(result.output))["merges.txt"] == b""


def test_card_of_a_source_without_one(make_farm: MakeFarm, folder: Path) -> None:
    farm = make_farm()
    source = farm.upload(folder)
    result = run_attempt(farm, farm.request(source))
    assert metadata(farm, result.output) == {
        "library_name": "transformers",
        "tags": ["model-growth", "llama", "hypercloning"],
    }
    assert f"grown from the checkpoint at `{source}`" in card(farm, result.output)


def test_card_keeps_what_stays_true_of_the_source(make_farm: MakeFarm, folder: Path) -> None:
    told = {
        "license": "other",
        "license_name": "llama3.2",
        "license_link": "LICENSE",
        "language": ["en", "no"],
        "pipeline_tag": "text-generation",
        "base_model": "meta-llama/Llama-3.2-1B",
        "model-index": [{"name": "small"}],
        "metrics": ["accuracy"],
    }
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(told)}---\n\n# Small\n\n---\nlicense: mit\n---\n")
    farm = make_farm()
    found = metadata(farm, run_attempt(farm, farm.request(farm.upload(folder))).output)
    kept = ("license", "license_name", "license_link", "language", "pipeline_tag")
    assert {key: found[key] for key in kept} == {key: told[key] for key in kept}
    assert found["base_model"] == ["meta-llama/Llama-3.2-1B"]
    assert not found.keys() & {"model-index", "metrics"}


@pytest.mark.parametrize(
    "text",
    [
        "# Small\n",
        "---\nlicense: [\n---\n",
        "---\nlicense: {a: b}\nbase_model: s3://models/small\n---\n",
        "---\nlicense: 3\nbase_model: [1, 2]\n---\n",
        "---\n- mit\n---\n",
        "---\n" + "[" * 5000 + "\n---\n",
        "---\nlicense: mit\n",
        "---\nlicense: !!python/object:os.system mit\n---\n",
        "\x00---",
    ],
)
def test_cards_that_say_nothing_usable(make_farm: MakeFarm, folder: Path, text: str) -> None:
    (folder / "README.md").write_text(text)
    farm = make_farm()
    found = metadata(farm, run_attempt(farm, farm.request(farm.upload(folder))).output)
    assert found.keys() == {"library_name", "tags"}


@pytest.mark.parametrize(
    ("place", "named", "expected"),
    [
        ("SmolLM-135M", "HuggingFaceTB/SmolLM-135M", "HuggingFaceTB/SmolLM-135M"),
        ("models--openai-community--gpt2/snapshots/607a30d7", "", "openai-community/gpt2"),
        ("renamed", "HuggingFaceTB/SmolLM-135M", None),
        ("checkpoint-500", "/home/ada/runs/checkpoint-500", None),
    ],
)
def test_base_model_is_an_id_of_the_hub(
    make_farm: MakeFarm, folder: Path, place: str, named: str, expected: str | None
) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text().replace("{", f'{{"_name_or_path": "{named}",', 1))
    farm = make_farm()
    result = run_attempt(farm, farm.request(farm.upload(folder, place)))
    assert metadata(farm, result.output).get("base_model") == expected
