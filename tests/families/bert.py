"""BERT: blocks normalise the stream itself (post-LN), so they can neither be padded nor be identities."""

from tests.families.family import ANY, HEAD_DIM, LABELS, POSITIONS, UNTIED, VOCAB_SIZE, Family, Variant

BERT = Family(
    model_type="bert",
    config={
        "hidden_size": 32,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": VOCAB_SIZE,
        "max_position_embeddings": POSITIONS,
        "pad_token_id": 0,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    },
    variants={
        "bert": Variant("BertForMaskedLM"),
        "bert-untied": Variant("BertForMaskedLM", UNTIED),
        "bert-headless": Variant("BertModel"),
    },
    targets={**ANY, **HEAD_DIM},
    odd={
        "hidden_size": 30,
        "num_attention_heads": 5,
        "intermediate_size": 77,
        "num_hidden_layers": 2,
        "vocab_size": 101,
        "max_position_embeddings": 53,
        "type_vocab_size": 3,
    },
    odd_target={"hidden_size": 88, "num_attention_heads": 8, "intermediate_size": 131, "num_hidden_layers": 3},
    classes={
        "bert": ("BertModel", {}),
        "bert-masked": ("BertForMaskedLM", {}),
        "bert-masked-untied": ("BertForMaskedLM", UNTIED),
        "bert-pretraining": ("BertForPreTraining", {}),
        "bert-decoder": ("BertLMHeadModel", {"is_decoder": True}),
        "bert-next-sentence": ("BertForNextSentencePrediction", {}),
        "bert-sequences": ("BertForSequenceClassification", LABELS),
        "bert-tokens": ("BertForTokenClassification", LABELS),
        "bert-answers": ("BertForQuestionAnswering", {}),
    },
    prefix="bert.",
    tokenizer="word_piece",
    pads=False,
    deepens=False,
)
