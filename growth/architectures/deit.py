"""DeiT: a ViT with a second learned token, on which a teacher is distilled, and a classifier for each of the two."""

from collections.abc import Mapping

from growth.architectures import vit
from growth.axes import Architecture, Parameter, readout
from growth.config import ModelConfig, Sizes


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    return vit.read_sizes(raw, tokens=2)


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    return (
        vit.token("deit.embeddings.cls_token", init_std=0.0),
        vit.token("deit.embeddings.distillation_token", init_std=0.0),
        vit.token("deit.embeddings.position_embeddings", "positions", init_std=0.0),
        vit.token("deit.embeddings.mask_token", optional=True, init_std=0.0),
        *vit.encoder(config, "deit"),
        *readout("classifier", "labels", bias=True),
        *readout("cls_classifier", "labels", bias=True),
        *readout("distillation_classifier", "labels", bias=True),
    )


DEIT = Architecture(
    model_type="deit",
    keys={},
    norm=vit.NORM,
    rotary=False,
    read_sizes=_read_sizes,
    write_sizes=vit.write_sizes,
    table=_table,
    base_prefix="deit",
    renames=vit.MODULE_NAMES,
    module_renames=vit.CHECKPOINT_NAMES,
    headed_classes=frozenset({"DeiTForImageClassification", "DeiTForImageClassificationWithTeacher"}),
    unlabelled_classes=frozenset({"DeiTForImageClassificationWithTeacher"}),
    objective="image_classification",
    inputs=vit.inputs,
)
