"""The tiny sources, one set for each test process, and stock modules that compute in the dtype of their input."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from tests.growth.variants import Sources, sources_in

transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return sources_in(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="session", autouse=True)
def _norms_in_the_dtype_of_their_input() -> Iterator[None]:
    """The stock RMSNorm computes in float32, which in a float64 model would hide whatever is wrong by less."""

    def forward(self: Any, hidden_states: Tensor) -> Tensor:
        variance = hidden_states.pow(2).mean(-1, keepdim=True)
        normed: Tensor = self.weight * (hidden_states * torch.rsqrt(variance + self.variance_epsilon))
        return normed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LlamaRMSNorm, "forward", forward)
        yield
