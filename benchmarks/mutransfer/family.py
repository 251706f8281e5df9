"""A family of Llamas of one depth that read the bytes of the standard library, and how long they are trained."""

from dataclasses import dataclass

from benchmarks.savings import recipe
from benchmarks.savings.recipe import Recipe
from growth.config import ModelConfig
from growth.target import resolve_target


@dataclass(frozen=True)
class Family:
    """Models that differ in width alone."""

    recipe: Recipe
    """Its source is the proxy, which is the base of muP; its target the largest model."""
    widths: tuple[int, ...]
    steps: int
    warmup: int
    middle: int
    """Where the search for the proxy's best rate begins, as a power of 2; at other widths at that of the one before."""

    def config(self, width: int) -> ModelConfig:
        """The model of this `hidden_size`: heads of the proxy's `head_dim`, everything else in proportion."""
        raw = {**self.recipe.config, **self.recipe.source, "architectures": [self.recipe.model_class]}
        proxy = ModelConfig.from_dict(raw)
        return proxy.replaced(resolve_target(proxy, {"hidden_size": width}))


def _recipe(config: dict[str, object], length: int, batch_size: int, proxy: dict[str, int], target: int) -> Recipe:
    grown = {name: size * target // proxy["hidden_size"] for name, size in proxy.items()}
    return Recipe(
        model_class="LlamaForCausalLM",
        config={**recipe.LLAMA.config, "tie_word_embeddings": False, "max_position_embeddings": length, **config},
        source={**proxy, "num_hidden_layers": 2},
        target={**grown, "num_hidden_layers": 2},
        length=length,
        batch_size=batch_size,
        source_steps=0,
        source_rate=0.0,
    )


LLAMAS = Family(
    _recipe(
        {"initializer_range": 0.125},
        length=64,
        batch_size=8,
        proxy={"hidden_size": 64, "intermediate_size": 176, "num_attention_heads": 4},
        target=512,
    ),
    widths=(64, 128, 256, 512),
    steps=120,
    warmup=12,
    middle=-6,
)
TINY = Family(
    _recipe(
        {"initializer_range": 0.1},
        length=32,
        batch_size=2,
        proxy={"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2},
        target=32,
    ),
    widths=(16, 32),
    steps=6,
    warmup=2,
    middle=-7,
)
