"""The families that can be grown: one file each, a table and how its config names sizes."""

from collections.abc import Mapping

from growth.architectures.bert import BERT
from growth.architectures.gpt2 import GPT2
from growth.architectures.llama import LLAMA
from growth.axes import Architecture

ARCHITECTURES: Mapping[str, Architecture] = {family.model_type: family for family in (BERT, GPT2, LLAMA)}
