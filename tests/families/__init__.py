"""Every family as the tests know it: one file each."""

from collections.abc import Mapping

from tests.families.bert import BERT
from tests.families.deit import DEIT
from tests.families.distilbert import DISTILBERT
from tests.families.family import Family
from tests.families.gemma import GEMMA
from tests.families.gemma2 import GEMMA2
from tests.families.gemma3_text import GEMMA3_TEXT
from tests.families.gpt2 import GPT2
from tests.families.gpt_neox import GPT_NEOX
from tests.families.granite import GRANITE
from tests.families.llama import LLAMA
from tests.families.mistral import MISTRAL
from tests.families.mixtral import MIXTRAL
from tests.families.modernbert import MODERNBERT
from tests.families.olmo import OLMO
from tests.families.olmo2 import OLMO2
from tests.families.opt import OPT, OPT_POST
from tests.families.phi import PHI
from tests.families.phi3 import PHI3
from tests.families.qwen2 import QWEN2
from tests.families.qwen3 import QWEN3
from tests.families.qwen3_moe import QWEN3_MOE
from tests.families.roberta import ROBERTA
from tests.families.starcoder2 import STARCODER2
from tests.families.t5 import T5
from tests.families.vit import VIT
from tests.families.whisper import WHISPER

FAMILIES: Mapping[str, Family] = {
    family.name or family.model_type: family
    for family in (
        BERT,
        DEIT,
        DISTILBERT,
        GEMMA,
        GEMMA2,
        GEMMA3_TEXT,
        GPT2,
        GPT_NEOX,
        GRANITE,
        LLAMA,
        MISTRAL,
        MIXTRAL,
        MODERNBERT,
        OLMO,
        OLMO2,
        OPT,
        OPT_POST,
        PHI,
        PHI3,
        QWEN2,
        QWEN3,
        QWEN3_MOE,
        ROBERTA,
        STARCODER2,
        T5,
        VIT,
        WHISPER,
    )
}
FAMILY_OF: Mapping[str, Family] = {variant: family for family in FAMILIES.values() for variant in family.variants}
