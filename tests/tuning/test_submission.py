"""A search as it is answered, and as it is on record."""

from jobs.store import JobStore
from tests.tuning.conftest import Submit


def test_what_is_answered_is_what_is_on_record(submit: Submit, store: JobStore) -> None:
    search = submit()
    assert store.get(search.id) == search.model_copy(update={"trials": []})
