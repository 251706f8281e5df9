"""DeiT: a ViT with a distillation token and, with a teacher, a classifier on each of its two tokens."""

from tests.families.family import LABELS, Family, Variant
from tests.families.vit import CONFIG, NARROW, ODD, ODD_TARGET, TARGETS, image_inputs

DEIT = Family(
    model_type="deit",
    config=CONFIG,
    variants={
        "deit": Variant("DeiTForImageClassification"),
        "deit-no-bias": Variant("DeiTForImageClassification", {"qkv_bias": False}),
        "deit-teacher": Variant("DeiTForImageClassificationWithTeacher"),
        "deit-pixels": Variant("DeiTForMaskedImageModeling"),
        "deit-headless": Variant("DeiTModel"),
    },
    targets=TARGETS,
    odd=ODD,
    odd_target=ODD_TARGET,
    classes={
        "deit": ("DeiTModel", {}),
        "deit-narrow": ("DeiTModel", NARROW),
        "deit-images": ("DeiTForImageClassification", LABELS),
        "deit-teacher": ("DeiTForImageClassificationWithTeacher", LABELS),
        "deit-pixels": ("DeiTForMaskedImageModeling", {}),
    },
    prefix="deit.",
    tokenizer=None,
    inputs=image_inputs,
)
