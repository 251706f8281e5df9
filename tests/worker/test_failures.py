"""Every kind of error has its code, one sentence, and a word on whether it is worth another attempt."""

import pytest
import torch

from growth.errors import ImpossibleTarget
from growth.verify import NotFinite
from storage import AccessDenied, AlreadyExists, Changed, Unavailable
from worker.errors import OutputExists, SourceChanged
from worker.failures import concluded, explain
from worker.messages import Failed


@pytest.mark.parametrize(
    ("error", "code", "field", "transient"),
    [
        (ImpossibleTarget("Too narrow."), "impossible_target", "/target", False),
        (OutputExists("Taken."), "output_exists", "/output", False),
        (SourceChanged("Another one."), "source_changed", "/source", False),
        (NotFinite("Infinite."), "not_finite", "/dtype", False),
        (Changed("It moved."), "source_changed", None, False),
        (AlreadyExists("It is there."), "output_exists", "/output", False),
        (AccessDenied("Not yours."), "access_denied", None, False),
        (Unavailable("Not now."), "storage_unavailable", None, True),
    ],
)
def test_errors_with_a_sentence_keep_it(error: Exception, code: str, field: str | None, transient: bool) -> None:
    failed = explain(error)
    assert failed.failure.detail == str(error)
    assert (failed.failure.code, failed.failure.field, failed.transient) == (code, field, transient)


def refused_by_torch() -> Exception:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    return caught.value


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried ..."), refused_by_torch()]
)
def test_memory(error: Exception) -> None:
    failed = explain(error)
    assert (failed.failure.code, failed.transient) == ("out_of_memory", False)
    assert failed.failure.hint is not None


def test_what_nobody_expected_is_told_without_its_details(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> int:
        raise KeyError("secret")

    failed = concluded(broken)
    assert isinstance(failed, Failed)
    assert failed.failure.code == "internal_error"
    assert "KeyError" in failed.failure.detail
    assert "secret" not in failed.failure.model_dump_json()
