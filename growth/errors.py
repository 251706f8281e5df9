"""What can be wrong with a request for growth, each told in one sentence.

GrowthError (ValueError)
├── UnknownArchitecture   the source's model_type has no table here
├── InvalidConfig         config.json is missing a size, or holds one that can't be
├── ImpossibleTarget      the target can't be reached exactly; `nearest` names sizes that can
│   └── ImpossibleProxy   no such proxy of the target can be made; `nearest` names one that can
├── InvalidMethod         no such method, or no such option of it
├── InvalidCheckpoint     the weights are not a whole, plain safetensors checkpoint
├── InvalidOptimizerState the optimizer's state is not AdamW's, or not of this source
├── InvalidOperator       a saved operator that does not fit this source and target
└── InvalidData           the corpus is empty, or is not in the format named
"""

from collections.abc import Mapping


class GrowthError(ValueError):
    """Bad input: `str(error)` says what, where and what to do instead.

    `field` is the JSON pointer into the growth request that the sentence is about.
    """

    code = "invalid_request"
    field = ""

    def __init__(self, sentence: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(sentence)
        self.hint = hint
        if field is not None:
            self.field = field


class UnknownArchitecture(GrowthError):
    code = "unknown_model_type"
    field = "/source"


class InvalidConfig(GrowthError):
    code = "invalid_config"
    field = "/source"


class ImpossibleTarget(GrowthError):
    """`nearest` holds the sizes, under their Hugging Face keys, of the nearest target that works."""

    code = "impossible_target"
    field = "/target"

    def __init__(
        self,
        sentence: str,
        *,
        field: str | None = None,
        hint: str | None = None,
        nearest: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(sentence, field=field, hint=hint)
        self.nearest = dict(nearest or {})


class ImpossibleProxy(ImpossibleTarget):
    code = "impossible_proxy"
    field = "/proxy"


class InvalidMethod(GrowthError):
    code = "invalid_method"
    field = "/method"


class InvalidCheckpoint(GrowthError):
    code = "invalid_checkpoint"
    field = "/source"


class InvalidOptimizerState(GrowthError):
    code = "invalid_optimizer_state"
    field = "/source_optimizer"


class InvalidOperator(GrowthError):
    code = "invalid_operator"
    field = "/method/operator"


class InvalidData(GrowthError):
    code = "invalid_data"
    field = "/data"
