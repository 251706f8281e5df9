"""The form: by keyboard alone, with refusals at their fields, and filled in from an earlier job."""

import json
import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.dashboard.conftest import Visiting
from tests.dashboard.elements import badge, options, text_field
from tests.dashboard.records import Records

HOSTILE = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>"


def tab_to(page: Page, wanted: Locator) -> None:
    """By the tab key alone, as far as it takes."""
    for _ in range(80):
        if wanted.evaluate("(element) => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the tab key never reaches {wanted}")


def test_a_job_is_submitted_and_cancelled_by_keyboard_alone(records: Records, visiting: Visiting) -> None:
    page = visiting(records.url).open()
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("main").get_by_role("link", name="New job")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="New job", exact=True)).to_be_focused()

    written = {"Checkpoint required": records.source, "Output required": records.output(), "hidden_size": "64"}
    for name, text in written.items():
        tab_to(page, text_field(page, name))
        page.keyboard.type(text)
    tab_to(page, page.get_by_text("More: dtype, seed, labels"))
    page.keyboard.press("Enter")
    tab_to(page, text_field(page, "labels"))
    page.keyboard.type("team=nlp\nrun=first")
    tab_to(page, page.get_by_role("button", name="Show the plan"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What this job will do")).to_be_focused()
    expect(page.get_by_text("Preserves the function")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("^hidden_size 32 64 × 2"))).to_be_visible()
    tab_to(page, page.get_by_role("button", name="Submit this job"))
    page.keyboard.press("Enter")

    expect(badge(page, "queued")).to_be_visible()
    expect(page.get_by_role("link", name="run=first", exact=True)).to_be_visible()
    tab_to(page, page.get_by_role("button", name="Cancel the job"))
    page.keyboard.press("Enter")
    expect(badge(page, "cancelled")).to_be_visible()
    expect(page.locator("#live")).to_have_text("Cancelled")


def test_a_refusal_stands_at_its_field(records: Records, visiting: Visiting) -> None:
    page = visiting(records.url).open("#/new")
    show_plan = page.get_by_role("button", name="Show the plan")
    show_plan.click()
    expect(text_field(page, "Checkpoint required")).to_have_attribute("aria-invalid", "true")
    expect(text_field(page, "Checkpoint required")).to_be_focused()
    text_field(page, "Checkpoint required").fill(records.source)
    text_field(page, "Output required").fill(records.output())
    text_field(page, "hidden_size").fill("48")
    show_plan.click()
    refused = text_field(page, "hidden_size")
    expect(refused).to_have_attribute("aria-invalid", "true")
    expect(refused).to_be_focused()
    expect(refused).to_have_accessible_description(re.compile("whole multiples alone"))
    page.get_by_role("button", name="Use hidden_size 64").click()
    expect(page.get_by_role("heading", name="What this job will do")).to_be_visible()
    expect(refused).not_to_have_attribute("aria-invalid", "true")

    options(page).click()
    text_field(page, "snr_db").fill("loud")
    expect(page.get_by_role("heading", name="What this job will do")).to_be_hidden()
    options(page).click()
    show_plan.click()
    expect(text_field(page, "snr_db")).to_be_focused()


def test_a_job_is_the_template_of_another(records: Records, visiting: Visiting) -> None:
    given: dict[str, Any] = {
        "method": {"name": "ligo", "steps": 3, "init": {"name": "lemon", "noise": 0.5}},
        "data": records.data,
        "dtype": "bfloat16",
        "verify": False,
        "labels": {"team": "hostile", "note": HOSTILE},
    }
    records.submit(**given)
    page = visiting(records.url).open("#/?label=team%3Dhostile")
    hostile = page.get_by_role("link", name=f"note={HOSTILE}", exact=True)
    expect(hostile).to_be_visible()
    page.get_by_role("link", name=re.compile("^grown-")).click()
    expect(page.get_by_role("link", name="Use as a template")).to_be_visible()
    expect(hostile).to_be_visible()
    page.get_by_role("link", name="Use as a template").click()
    text_field(page, "Output required").fill(records.output())
    page.get_by_role("button", name="Show the plan").click()
    page.get_by_role("region", name="What this job will do").get_by_text("As JSON").click()
    asked = page.locator("pre").inner_text()
    expected = {"target": {"hidden_size": 64}, **given}
    assert {name: json.loads(asked)[name] for name in expected} == expected
