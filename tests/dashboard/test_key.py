"""A service that asks for a key."""

import json
import re
from collections.abc import Callable
from hashlib import sha256

import pytest
from playwright.sync_api import expect

from jobs.schema import Status
from tests.dashboard.browsing import SECRET
from tests.dashboard.conftest import Visiting
from tests.dashboard.elements import badge, rows
from tests.dashboard.records import Records


@pytest.fixture(scope="module")
def locked(start_api: Callable[..., str], records: Records) -> Records:
    """The same records behind a service that asks for a key."""
    anywhere = ["file:///"]
    key = {
        "name": "ada",
        "key_sha256": sha256(SECRET.encode()).hexdigest(),
        "prefixes": {"source": anywhere, "data": anywhere, "output": anywhere},
    }
    return Records(start_api(GROW_API_KEYS=json.dumps([key])), records.store, records.models)


def test_a_key_is_asked_for_and_kept_out_of_addresses(locked: Records, visiting: Visiting) -> None:
    job = locked.submit(labels={"test": "key"})
    visit = visiting(locked.url)
    page = visit.open("#/?label=test%3Dkey")
    dialog = page.get_by_role("dialog", name="API key")
    key = page.get_by_label("Key", exact=True)
    expect(key).to_be_focused()
    key.fill("not the key, by far")
    page.keyboard.press("Enter")
    expect(key).to_have_attribute("aria-invalid", "true")
    key.fill("not-the-key")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("not known here")
    page.get_by_label("Key", exact=True).fill(SECRET)
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(1)
    rows(page).get_by_role("link", name=re.compile("^grown-")).click()
    with page.expect_request(re.compile("/events$")) as stream:
        page.reload()
    assert stream.value.headers["authorization"] == f"Bearer {SECRET}"
    expect(page.get_by_role("region", name="Events").get_by_role("listitem")).to_have_count(1)
    assert page.evaluate("() => localStorage.length + document.cookie.length") == 0
    page.get_by_role("button", name="Cancel the job").click()
    expect(badge(page, "cancelled")).to_be_visible()
    assert locked.store.get(job).status is Status.CANCELLED

    page.get_by_role("button", name="API key: set").click()
    page.get_by_role("button", name="Forget the key").click()
    expect(dialog).to_contain_text("Send an API key")
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Send an API key")
    expect(dialog).to_be_hidden()
