"""RoBERTa: a BERT whose positions start behind the padding token's id, and whose heads have other names."""

from tests.families.bert import BERT
from tests.families.family import LABELS, UNTIED, Family, Variant

ROBERTA = Family(
    model_type="roberta",
    config={**BERT.config, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    variants={
        "roberta": Variant("RobertaForMaskedLM"),
        "roberta-untied": Variant("RobertaForMaskedLM", UNTIED),
        "roberta-decoder": Variant("RobertaForCausalLM", {"is_decoder": True}),
        "roberta-headless": Variant("RobertaModel"),
    },
    targets=BERT.targets,
    odd=BERT.odd,
    odd_target=BERT.odd_target,
    classes={
        "roberta": ("RobertaModel", {}),
        "roberta-masked": ("RobertaForMaskedLM", {}),
        "roberta-masked-untied": ("RobertaForMaskedLM", UNTIED),
        "roberta-decoder": ("RobertaForCausalLM", {"is_decoder": True}),
        "roberta-sequences": ("RobertaForSequenceClassification", LABELS),
        "roberta-tokens": ("RobertaForTokenClassification", LABELS),
        "roberta-answers": ("RobertaForQuestionAnswering", {}),
    },
    prefix="roberta.",
    tokenizer="word_piece",
    pads=False,
    deepens=False,
)
