"""Images: the names of modules, what a config leaves out, poolers and masked patches, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from growth.config import ModelConfig
from growth.errors import ImpossibleTarget, InvalidConfig, InvalidMethod
from growth.operators import parse_method
from growth.operators.method import Nested
from growth.optimizer_state import load_adamw, save_adamw
from growth.plan import GrowthPlan, make_plan
from tests.families.vit import image_inputs
from tests.growth.growing import KeepFloat64, Source, Target, build, grown_tensors, load
from tests.growth.stock import as_written, stock_config, stock_model, stock_tensors
from tests.growth.variants import Sources

SMALL: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
HEADS = {"vit": "ViTForImageClassification", "deit": "DeiTForImageClassificationWithTeacher"}
WIDE = {"hidden_size": 64, "num_hidden_layers": 3}
families = pytest.mark.parametrize("family", HEADS)


def small(family: str, **more: Any) -> dict[str, Any]:
    return {"model_type": family, **SMALL, **more}


def plan_of(raw: dict[str, Any], target: Target, method: Nested = "lemon", kind: str | None = None) -> GrowthPlan:
    kind = kind or HEADS[raw["model_type"]]
    return make_plan(stock_config(kind, raw), stock_tensors(kind, raw), target, parse_method(method))


@families
def test_what_the_config_leaves_out_is_what_transformers_takes(family: str) -> None:
    plan = plan_of(small(family), {"hidden_size": 72})
    assert plan.function_preserving
    (read,) = plan.source.architecture.inputs(plan.source)
    assert (read.name, read.shape, read.vocabulary) == ("pixel_values", (3, 224, 224), None)


@families
def test_a_token_is_a_patch(family: str) -> None:
    """Two numbers for each weight that a patch meets, the convolution's among them; the classifiers meet no patch."""
    summary = plan_of(small(family), {"hidden_size": 96}).summary()
    assert "vocab_size" not in summary["target"]["sizes"]
    block = 4 * 96 * 96 + 2 * 96 * 80
    assert summary["target"]["flops_per_token"] == 2 * (96 * 3 * 16 * 16 + 2 * block)


@pytest.mark.parametrize("variant", ["vit", "vit-headless", "deit-teacher", "deit-headless"])
@pytest.mark.parametrize("prefixed", [False, True])
def test_names_of_modules_grow_alike(sources: Sources, tmp_path: Path, variant: str, prefixed: bool) -> None:
    source = sources(variant)
    model = load(source.path)[0]
    model.save_pretrained(tmp_path, save_original_format=False)
    prefix = f"{model.config.model_type}." if prefixed and variant.endswith("headless") else ""
    written = {f"{prefix}{name}": tensor for name, tensor in load_file(tmp_path / "model.safetensors").items()}
    assert f"{prefix}layers.0.mlp.fc1.weight" in " ".join(written)
    save_file(written, tmp_path / "model.safetensors", metadata={"format": "pt"})
    other = Source.open(tmp_path)
    expected = grown_tensors(source.plan(WIDE, "lemon"), source.reader)
    found = grown_tensors(other.plan(WIDE, "lemon"), other.reader)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("width", [48, 64, 96])
def test_only_a_pooler_as_wide_as_the_stream_grows(width: int) -> None:
    raw = small("vit", pooler_output_size=width)
    plan = plan_of(raw, {"hidden_size": 96}, kind="ViTModel")
    pooler = next(tensor for tensor in plan.tensors if tensor.name == "vit.pooler.dense.weight")
    assert pooler.shape == (96 if width == 48 else width, 96)
    assert plan.target.raw["pooler_output_size"] == pooler.shape[0]


@families
def test_masked_patches_are_told_alike(sources: Sources, family: str) -> None:
    source = sources(f"{family}-pixels")
    plan = source.plan({"hidden_size": 48, "num_hidden_layers": 3}, "lemon", seed=3)
    masked = torch.arange(18).reshape(2, 9) % 2 == 0
    expected, found, blind = (
        pixels(model, mask)
        for model, mask in (
            (load(source.path)[0], masked),
            (build(plan, grown_tensors(plan, source.reader)), masked),
            (load(source.path)[0], ~masked),
        )
    )
    assert float((found - expected).abs().max()) <= 1e-9
    assert float((blind - expected).abs().max()) > 1e-3


@torch.no_grad()
def pixels(model: Any, masked: Tensor) -> Tensor:
    images = image_inputs()["pixel_values"].double()
    with KeepFloat64():  # type: ignore[no-untyped-call]
        found: Tensor = model(pixel_values=images, bool_masked_pos=masked).reconstruction
    return found


@families
def test_a_random_start_has_the_spread_of_transformers(family: str) -> None:
    raw = small(family, hidden_size=96, patch_size=32)
    plan = plan_of(raw, {"hidden_size": 192}, "random")
    values = {key: value for key, value in plan.target.raw.items() if key != "model_type"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, HEADS[family])(transformers.AutoConfig.for_model(family, **values))
    fresh = as_written(model, dict(model.named_parameters()))
    for tensor in plan.tensors:
        if len(tensor.shape) > 1:
            told = plan.target.initializer_range * tensor.parameter.init_std
            assert float(fresh[tensor.name].detach().std()) == pytest.approx(told, rel=0.15)


def test_the_state_of_a_training_goes_in_and_out(sources: Sources, tmp_path: Path) -> None:
    model, again = (load(sources("vit", torch.float32).path)[0] for _ in range(2))
    optimizer, other = (torch.optim.AdamW(m.parameters(), lr=1e-3) for m in (model, again))
    model(**image_inputs(), labels=torch.tensor([1, 2])).loss.backward()
    optimizer.step()
    save_adamw(model, optimizer, tmp_path / "optimizer.safetensors")
    load_adamw(tmp_path / "optimizer.safetensors", again, other)
    for mine, theirs in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(optimizer.state[mine]["exp_avg"], other.state[theirs]["exp_avg"])


REFUSED = {
    "patches": ({"patch_size": 225}, "patches of 225 x 225 in images of 224 x 224"),
    "no-patch": ({"patch_size": [16, 0]}, "patches of 16 x 0"),
    "no-image": ({"image_size": 0}, "images of 0 numbers"),
    "huge-image": ({"image_size": 1 << 20}, "they must have 1 to"),
    "three-sides": ({"image_size": [224, 224, 3]}, "image_size '.224, 224, 3.'; it must be a whole number"),
    "head_dim": ({"head_dim": 16}, "head_dim 16; it must be 12"),
}


@pytest.mark.parametrize(("more", "said"), REFUSED.values(), ids=REFUSED)
@families
def test_what_can_not_be(family: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        ModelConfig.from_dict(small(family, **more))


HEADLESS = {"vit": "ViTModel", "deit": "DeiTModel"}
CLASSIFIERS = {"vit": "ViTForImageClassification", "deit": "DeiTForImageClassification"}


@families
def test_a_loss_of_its_own_needs_the_classifier(family: str) -> None:
    own: Nested = {"name": "ligo", "objective": "own"}
    plan = plan_of(small(family), {"hidden_size": 96}, own, CLASSIFIERS[family])
    assert plan.source.headed
    with pytest.raises(InvalidMethod, match="has no head to compute a loss of its own"):
        plan_of(small(family), {"hidden_size": 96}, own, HEADLESS[family])


def test_a_fit_needs_a_class_that_takes_labels() -> None:
    with pytest.raises(InvalidMethod, match="not what a DeiTForImageClassificationWithTeacher model is trained on"):
        plan_of(small("deit"), {"hidden_size": 96}, "ligo", "DeiTForImageClassificationWithTeacher")


def test_there_is_no_vocabulary_to_name() -> None:
    with pytest.raises(ImpossibleTarget, match="'vocab_size' is no size of a vit model") as refused:
        plan_of(small("vit"), {"vocab_size": 5})
    assert "vocab_size" not in str(refused.value.hint)
    with pytest.raises(ImpossibleTarget) as refused:
        plan_of(small("vit"), {"hidden_size": 96}, "identity")
    assert plan_of(small("vit"), refused.value.nearest, "identity").function_preserving


def test_the_head_dim_of_a_config_grows_with_it() -> None:
    raw = small("vit", head_dim=12)
    plan = plan_of(raw, {"hidden_size": 96, "num_attention_heads": 4})
    assert plan.target.raw["head_dim"] == 24
    assert stock_model(HEADS["vit"], dict(plan.target.raw)).config.head_dim == 24
