"""ModernBERT: pre-LN encoder without a norm before its first attention; its stream starts behind one: no padding."""

from tests.families.family import ANY, LABELS, POSITIONS, ROTARY, UNTIED, VOCAB_SIZE, Family, Variant, target

BIASES = {"norm_bias": True, "attention_bias": True, "mlp_bias": True, "classifier_bias": True}
LIST = {"layer_types": ["sliding_attention", "full_attention"]}
DEPTH = {
    "depth-3.5x": target("depth", num_hidden_layers=7),
    "3x-and-depth-2x": target("width depth", hidden_size=96, num_hidden_layers=4),
}

MODERNBERT = Family(
    model_type="modernbert",
    config={
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": VOCAB_SIZE,
        "max_position_embeddings": POSITIONS,
        "local_attention": 6,
        "norm_eps": 0.05,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "cls_token_id": 2,
        "sep_token_id": 3,
    },
    variants={
        "modernbert": Variant("ModernBertForMaskedLM"),
        "modernbert-untied": Variant("ModernBertForMaskedLM", UNTIED),
        "modernbert-biases": Variant("ModernBertForMaskedLM", BIASES),
        "modernbert-biases-untied": Variant("ModernBertForMaskedLM", {**BIASES, **UNTIED, "decoder_bias": False}),
        "modernbert-local-first": Variant("ModernBertForMaskedLM", LIST),
        "modernbert-headless": Variant("ModernBertModel"),
    },
    targets={**ANY, **ROTARY, **DEPTH},
    odd={
        "hidden_size": 30,
        "num_attention_heads": 5,
        "intermediate_size": 77,
        "num_hidden_layers": 3,
        "vocab_size": 101,
        "pad_token_id": 0,
    },
    odd_target={"hidden_size": 84, "num_attention_heads": 14, "intermediate_size": 131, "num_hidden_layers": 5},
    classes={
        "modernbert": ("ModernBertModel", {}),
        "modernbert-masked": ("ModernBertForMaskedLM", {}),
        "modernbert-masked-untied": ("ModernBertForMaskedLM", UNTIED),
        "modernbert-masked-biases": ("ModernBertForMaskedLM", {**BIASES, "decoder_bias": False}),
        "modernbert-masked-biases-untied": ("ModernBertForMaskedLM", {**BIASES, **UNTIED}),
        "modernbert-sequences": ("ModernBertForSequenceClassification", LABELS),
        "modernbert-tokens": ("ModernBertForTokenClassification", {**LABELS, **BIASES}),
        "modernbert-answers": ("ModernBertForQuestionAnswering", {}),
        "modernbert-choices": ("ModernBertForMultipleChoice", LABELS),
    },
    prefix="model.",
    tokenizer="word_piece",
    pads=False,
)
