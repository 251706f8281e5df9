"""What a target takes over from its source unchanged, because no size stands in it: never weights, never a pickle."""

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "normalizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
    "source.spm",
    "target.spm",
    "tekken.json",
    "chat_template.jinja",
    "chat_template.json",
)
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_LICENCES = ("LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE", "NOTICE.md", "NOTICE.txt", "USE_POLICY.md")
CARRIED_FILES = (*TOKENIZER_FILES, *_PROCESSOR_FILES, "generation_config.json", *_LICENCES)
