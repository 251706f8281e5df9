"""The families that can be grown: one file each, a table and how its config names sizes."""

from collections.abc import Mapping

from growth.architectures.bert import BERT
from growth.architectures.deit import DEIT
from growth.architectures.distilbert import DISTILBERT
from growth.architectures.gemma import GEMMA
from growth.architectures.gemma2 import GEMMA2
from growth.architectures.gemma3_text import GEMMA3_TEXT
from growth.architectures.gpt2 import GPT2
from growth.architectures.gpt_neox import GPT_NEOX
from growth.architectures.granite import GRANITE
from growth.architectures.llama import LLAMA
from growth.architectures.mistral import MISTRAL
from growth.architectures.mixtral import MIXTRAL
from growth.architectures.modernbert import MODERNBERT
from growth.architectures.olmo import OLMO
from growth.architectures.olmo2 import OLMO2
from growth.architectures.opt import OPT
from growth.architectures.phi import PHI
from growth.architectures.phi3 import PHI3
from growth.architectures.qwen2 import QWEN2
from growth.architectures.qwen3 import QWEN3
from growth.architectures.qwen3_moe import QWEN3_MOE
from growth.architectures.roberta import ROBERTA
from growth.architectures.starcoder2 import STARCODER2
from growth.architectures.t5 import T5
from growth.architectures.vit import VIT
from growth.architectures.whisper import WHISPER
from growth.axes import Architecture

ARCHITECTURES: Mapping[str, Architecture] = {
    family.model_type: family
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
