"""Bad input: each refused with its status, code, pointer and one sentence, by both routes, and nothing left behind."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from starlette.testclient import TestClient

from jobs.schema import GrowthRequest, Problem
from jobs.store import JobStore
from tests.service.conftest import Body, ClientFactory
from tests.tiny import tiny, tiny_bert, tiny_gpt2, tiny_llama

Spoil = Callable[[Path], None]


def _refused(client: TestClient, store: JobStore, body: Any) -> Problem:
    """The problem of both routes, after a look at what they left."""
    planned, grown = client.post("/plan", json=body), client.post("/grow", json=body)
    assert planned.headers["Content-Type"] == "application/problem+json"
    assert planned.status_code == grown.status_code
    assert planned.json() == grown.json()
    assert store.list_jobs().jobs == []
    problem = Problem.model_validate(grown.json())
    assert problem.status == grown.status_code
    assert problem.type == f"urn:model-growth:problem:{problem.code}"
    assert problem.detail.endswith(".")
    assert "\n" not in problem.detail
    assert len(problem.detail) < 400
    return problem


def _edit_config(**changes: object) -> Spoil:
    def edit(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))

    return edit


def _remove(name: str) -> Spoil:
    return lambda folder: (folder / name).unlink()


def _rename_to_bin(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def _cut_header(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])


def _index_that_leaves(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"lm_head.weight": "../secret/model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        pytest.param(_remove("config.json"), "invalid_config", "no config.json", id="no-config"),
        pytest.param(_edit_config(model_type="mamba"), "unknown_model_type", "'mamba'", id="unknown-family"),
        pytest.param(_edit_config(hidden_size="32"), "invalid_config", "hidden_size", id="text-as-size"),
        pytest.param(_edit_config(intermediate_size=90), "invalid_checkpoint", "shape", id="config-of-another-model"),
        pytest.param(_rename_to_bin, "invalid_checkpoint", "pickle", id="pickle"),
        pytest.param(_remove("model.safetensors"), "invalid_checkpoint", "neither", id="no-weights"),
        pytest.param(_truncate, "invalid_checkpoint", "truncated", id="truncated"),
        pytest.param(_cut_header, "invalid_checkpoint", "header", id="truncated-in-header"),
        pytest.param(_index_that_leaves, "invalid_checkpoint", "plain file name", id="index-leaves-folder"),
        pytest.param(_empty, "source_not_found", "nothing at", id="empty-folder"),
    ],
)
def test_checkpoints_that_can_not_be_grown(
    client: TestClient,
    store: JobStore,
    body: Body,
    llama: Path,
    tmp_path: Path,
    output: Path,
    spoil: Spoil,
    code: str,
    said: str,
) -> None:
    source = tmp_path / "spoiled"
    copytree(llama, source)
    spoil(source)
    problem = _refused(client, store, body | {"source": f"file://{source}"})
    assert (problem.status, problem.code, problem.field) == (422, code, "/source")
    assert said in problem.detail
    assert not output.exists()


@pytest.mark.parametrize(
    ("target", "field", "nearest"),
    [
        pytest.param({"hidden_size": 16}, "/target/hidden_size", {"hidden_size": 32}, id="narrower"),
        pytest.param({"num_hidden_layers": 1}, "/target/num_hidden_layers", {"num_hidden_layers": 2}, id="shallower"),
        pytest.param({"hidden_size": 70}, "/target/hidden_size", {"hidden_size": 64}, id="heads-no-whole-number"),
        pytest.param(
            {"hidden_size": 64, "num_attention_heads": 8, "num_key_value_heads": 3},
            "/target/num_key_value_heads",
            None,
            id="groups-do-not-divide",
        ),
        pytest.param({"head_dim": 16}, "/target/head_dim", {"head_dim": 8}, id="rotary-head-dim"),
        pytest.param({"vocab_size": 400}, "/target/vocab_size", {"vocab_size": 300}, id="vocabulary"),
        pytest.param({"d_model": 64}, "/target/d_model", None, id="no-such-size"),
        pytest.param({"hidden_size": 48}, "/target/hidden_size", {"hidden_size": 64}, id="no-whole-multiple"),
    ],
)
def test_targets_that_can_not_be_reached(
    client: TestClient,
    store: JobStore,
    body: Body,
    target: dict[str, int],
    field: str,
    nearest: dict[str, int] | None,
) -> None:
    problem = _refused(client, store, body | {"target": target})
    assert (problem.status, problem.code, problem.field) == (422, "impossible_target", field)
    if nearest is not None:
        assert problem.nearest is not None
        assert problem.nearest.items() >= nearest.items()


def test_heads_that_do_not_divide(client: TestClient, store: JobStore, body: Body, tmp_path: Path) -> None:
    source = tiny_gpt2(tmp_path / "gpt2")
    target = {"n_embd": 64, "n_head": 7}
    problem = _refused(client, store, body | {"source": f"file://{source}", "target": target})
    assert problem.code == "impossible_target"
    assert problem.detail == "num_attention_heads 7 does not divide hidden_size 64."
    assert problem.nearest == {"hidden_size": 64, "num_attention_heads": 4}


def test_the_nearest_target_is_accepted(client: TestClient, store: JobStore, body: Body, tmp_path: Path) -> None:
    source = tiny_bert(tmp_path / "bert")
    body |= {"source": f"file://{source}", "target": {"hidden_size": 80}, "method": "lemon"}
    problem = _refused(client, store, body)
    assert problem.nearest is not None
    assert client.post("/plan", json=body | {"target": problem.nearest}).status_code == 200


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        pytest.param({"targets": {}}, "invalid_request", "/targets", id="unknown-field"),
        pytest.param(
            {"data": {"uri": "file:///c", "fmt": "x"}}, "invalid_request", "/data/fmt", id="unknown-data-field"
        ),
        pytest.param({"target": {"hidden_size": 0}}, "invalid_request", "/target/hidden_size", id="zero"),
        pytest.param({"target": {"hidden_size": 2**31}}, "invalid_request", "/target/hidden_size", id="huge"),
        pytest.param({"target": {"hidden_size": "64"}}, "invalid_request", "/target/hidden_size", id="text"),
        pytest.param({"source": "https://models/x"}, "invalid_request", "/source", id="scheme"),
        pytest.param({"source": None}, "invalid_request", "/source", id="null"),
        pytest.param({"labels": {"a b": "c"}}, "invalid_request", "/labels/a b", id="label"),
        pytest.param({"method": "Quantum!"}, "invalid_request", "/method/name", id="method-name"),
        pytest.param({"method": 3}, "invalid_request", "/method", id="method-number"),
        pytest.param({"method": "quantum"}, "invalid_method", "/method/name", id="unknown-method"),
        pytest.param({"method": {"name": "lemon", "nosie": 1}}, "invalid_method", "/method/nosie", id="unknown-option"),
        pytest.param({"method": {"name": "lemon", "noise": -1}}, "invalid_method", "/method/noise", id="option-bounds"),
        pytest.param(
            {"method": {"name": "lemon", "depth": "pad"}}, "invalid_method", "/method/depth", id="nested-method"
        ),
        pytest.param({"method": "ligo"}, "data_required", "/data", id="fit-without-data"),
        pytest.param(
            {"method": "ligo", "data": {"uri": "file:///no/such/corpus"}}, "invalid_data", "/data/uri", id="no-data"
        ),
        pytest.param({"source": "file:///no/such/model"}, "source_not_found", "/source", id="no-source"),
        pytest.param({"source": "file://host/model"}, "invalid_uri", "/source", id="host-in-file-uri"),
        pytest.param({"output": "file:///a/../etc/model"}, "invalid_uri", "/output", id="dots-in-uri"),
    ],
)
def test_requests_that_make_no_sense(
    client: TestClient, store: JobStore, body: Body, change: Body, code: str, field: str
) -> None:
    problem = _refused(client, store, body | change)
    assert (problem.status, problem.code, problem.field) == (422, code, field)


@pytest.mark.parametrize(
    ("method", "family", "code", "field", "said"),
    [
        (
            "lemon",
            "vit",
            "invalid_data",
            "/data/format",
            "A vit model reads labelled images, and format 'text' holds none",
        ),
        (
            "ligo",
            "vit",
            "invalid_data",
            "/data/format",
            "A vit model reads labelled images, and format 'text' holds none",
        ),
        (
            "lemon",
            "whisper",
            "invalid_data",
            "/data",
            "neither on running text nor on labelled images; leave the data out",
        ),
        (
            "ligo",
            "whisper",
            "invalid_method",
            "/method",
            "fits on running text or labelled images, which is not what a",
        ),
        (
            "lemon",
            "deit-teacher",
            "invalid_data",
            "/data",
            "DeiTForImageClassificationWithTeacher model is trained neither",
        ),
    ],
)
def test_text_for_an_image_model(
    client: TestClient,
    store: JobStore,
    body: Body,
    tmp_path: Path,
    method: str,
    family: str,
    code: str,
    field: str,
    said: str,
) -> None:
    (tmp_path / "corpus.txt").write_text("a word " * 100)
    body |= {"source": f"file://{tiny(tmp_path / 'images', family)}", "data": {"uri": f"file://{tmp_path}/corpus.txt"}}
    problem = _refused(client, store, body | {"method": method})
    assert (problem.status, problem.code, problem.field) == (422, code, field)
    assert said in problem.detail


def test_unknown_option_names_the_known_ones(client: TestClient, store: JobStore, body: Body) -> None:
    problem = _refused(client, store, body | {"method": {"name": "lemon", "nosie": 1}})
    assert problem.detail == "Method 'lemon' has no option 'nosie'."
    assert problem.hint == "Its options: depth, noise, snr_db, split."


def test_unknown_field_names_the_known_ones(client: TestClient, store: JobStore, body: Body) -> None:
    problem = _refused(client, store, body | {"targets": {}})
    assert problem.detail == "There is no field /targets; leave it out or correct its name."
    assert problem.hint == f"Fields there: {', '.join(GrowthRequest.model_fields)}."


def test_first_of_several_errors_is_told(client: TestClient, store: JobStore, body: Body) -> None:
    problem = _refused(client, store, body | {"seed": -1, "verify": "perhaps"})
    assert problem.field == "/seed"
    assert problem.hint == "1 more of the request's fields can't be used."


def test_missing_field(client: TestClient, store: JobStore, body: Body) -> None:
    del body["source"]
    problem = _refused(client, store, body)
    assert (problem.field, problem.detail) == ("/source", "The field /source is missing; add it.")


@pytest.mark.parametrize("name", ["config.json", "deep/inside/file"])
def test_output_that_exists(client: TestClient, store: JobStore, body: Body, output: Path, name: str) -> None:
    file = output / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    problem = _refused(client, store, body)
    assert (problem.status, problem.code, problem.field) == (409, "output_exists", "/output")
    assert file.read_text() == "mine"


def test_output_that_is_a_file(client: TestClient, store: JobStore, body: Body, output: Path) -> None:
    output.write_text("mine")
    assert _refused(client, store, body).code == "output_exists"


@pytest.mark.parametrize("make", [lambda s: s, lambda s: s / "grown", lambda s: s.parent], ids=["same", "in", "around"])
def test_output_and_source_overlap(
    client: TestClient, store: JobStore, body: Body, llama: Path, make: Callable[[Path], Path]
) -> None:
    problem = _refused(client, store, body | {"output": f"file://{make(llama)}"})
    assert (problem.status, problem.code, problem.field) == (422, "output_overlaps", "/output")


def test_overlap_is_seen_through_symbolic_links(
    client: TestClient, store: JobStore, body: Body, llama: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(llama)
    problem = _refused(client, store, body | {"output": f"file://{tmp_path}/link/grown"})
    assert problem.code == "output_overlaps"


def test_output_inside_the_data(client: TestClient, store: JobStore, body: Body, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("words")
    problem = _refused(client, store, body | {"data": {"uri": f"file://{tmp_path}"}})
    assert problem.code == "output_overlaps"


def test_source_that_may_not_be_read(
    client: TestClient, store: JobStore, body: Body, llama: Path, tmp_path: Path
) -> None:
    source = tmp_path / "linked"
    copytree(llama, source)
    weights = source / "model.safetensors"
    weights.rename(tmp_path / "elsewhere.safetensors")
    weights.symlink_to(tmp_path / "elsewhere.safetensors")
    problem = _refused(client, store, body | {"source": f"file://{source}"})
    assert (problem.status, problem.field) == (422, "/source")


def test_a_store_that_does_not_answer(client_with: ClientFactory, store: JobStore, body: Body, free_port: int) -> None:
    client = client_with(
        s3_endpoint_url=f"http://127.0.0.1:{free_port}", s3_access_key_id="a", s3_secret_access_key="b"
    )
    response = client.post("/grow", json=body | {"source": "s3://models/small"})
    assert response.status_code == 503
    assert response.json()["code"] == "storage_unavailable"
    assert response.json()["field"] == "/source"
    assert int(response.headers["Retry-After"]) > 0
    assert str(free_port) not in response.text
    assert store.list_jobs().jobs == []


def test_sharded_source_is_accepted(client: TestClient, body: Body, tmp_path: Path) -> None:
    source = tiny_llama(tmp_path / "sharded", max_shard_size=20_000)
    assert len(list(source.glob("model-*.safetensors"))) > 1
    assert client.post("/plan", json=body | {"source": f"file://{source}"}).status_code == 200


def test_sentences_hold_no_trace_of_the_code(client: TestClient, body: Body) -> None:
    texts = [
        client.post("/plan", content=content, headers={"Content-Type": "application/json"}).text
        for content in (
            "",
            "{",
            "[]",
            "null",
            '{"source": "\\ud800"}',
            '{"\\ud800": 1}',
            "[" * 100_000,
            "\xff",
            '{"target": {"a": NaN}}',
        )
    ]
    for text in texts:
        assert json.loads(text)["code"] == "invalid_request", text
        assert not re.search(r"Traceback|\.py|pydantic|Error\b", text), text
