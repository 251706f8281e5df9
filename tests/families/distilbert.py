"""DistilBERT: post-LN like BERT, under keys of its own, with an epsilon that no config changes."""

from tests.families.bert import BERT
from tests.families.family import LABELS, POSITIONS, UNTIED, VOCAB_SIZE, Family, Variant

DISTILBERT = Family(
    model_type="distilbert",
    config={
        "dim": 32,
        "hidden_dim": 128,
        "n_layers": 2,
        "n_heads": 4,
        "vocab_size": VOCAB_SIZE,
        "max_position_embeddings": POSITIONS,
        "pad_token_id": 0,
        "dropout": 0.0,
        "attention_dropout": 0.0,
    },
    variants={
        "distilbert": Variant("DistilBertForMaskedLM"),
        "distilbert-untied": Variant("DistilBertForMaskedLM", UNTIED),
        "distilbert-sinusoidal": Variant("DistilBertForMaskedLM", {"sinusoidal_pos_embds": True}),
        "distilbert-headless": Variant("DistilBertModel"),
    },
    targets=BERT.targets,
    odd={"dim": 30, "n_heads": 5, "hidden_dim": 77, "n_layers": 2, "vocab_size": 101, "max_position_embeddings": 53},
    odd_target={"dim": 88, "n_heads": 8, "hidden_dim": 131, "n_layers": 3},
    classes={
        "distilbert": ("DistilBertModel", {}),
        "distilbert-masked": ("DistilBertForMaskedLM", {}),
        "distilbert-masked-untied": ("DistilBertForMaskedLM", UNTIED),
        "distilbert-sequences": ("DistilBertForSequenceClassification", LABELS),
        "distilbert-tokens": ("DistilBertForTokenClassification", LABELS),
        "distilbert-answers": ("DistilBertForQuestionAnswering", {}),
    },
    prefix="distilbert.",
    tokenizer="word_piece",
    pads=False,
    deepens=False,
)
