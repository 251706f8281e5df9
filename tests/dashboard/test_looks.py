"""What holds of every page: it can be read in light and dark, fits a phone, and runs nothing but its own files."""

import re

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import Visiting
from tests.dashboard.elements import rows
from tests.dashboard.records import Records

TEXTS = ("--text", "--muted", "--accent", "--good", "--bad")
GROUNDS = ("--ground", "--surface")
PAIRS = [
    *((text, ground) for text in TEXTS for ground in GROUNDS),
    ("--on-accent", "--accent"),
    ("--good", "--good-ground"),
    ("--bad", "--bad-ground"),
]
LEAST_CONTRAST = 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out(records: Records, visiting: Visiting, scheme: str) -> None:
    page = visiting(records.url, scheme=scheme).open()
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    value = "(name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()"
    light = {name: _luminance(page.evaluate(value, name)) for name in {name for pair in PAIRS for name in pair}}
    for pair in PAIRS:
        darker, lighter = sorted(light[name] for name in pair)
        assert (lighter + 0.05) / (darker + 0.05) >= LEAST_CONTRAST, pair
    assert (light["--ground"] < 0.1) == (scheme == "dark")
    shown = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", shown))) < 150) == (scheme == "dark")


def _luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_policy_stops_what_does_not_belong(records: Records, visiting: Visiting) -> None:
    visit = visiting(records.url)
    page = visit.open()
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    for attempt in (
        "() => document.body.append(Object.assign(document.createElement('img'), {src: 'http://127.0.0.1:1/x.png'}))",
        "() => { const s = document.createElement('style'); s.append('body{}'); document.body.append(s); }",
        "() => fetch('http://127.0.0.1:1/').catch(() => {})",
        "() => { try { document.body.innerHTML = '<b></b>'; } catch (error) { console.error(`breach: ${error}`); } }",
    ):
        with page.expect_console_message(lambda said: said.text.startswith("breach")):
            page.evaluate(attempt)
    assert page.evaluate("() => document.body.innerText").startswith("Skip")
    visit.wrong.clear()


def test_every_page_fits_a_phone(records: Records, visiting: Visiting) -> None:
    records.submit(labels={"long": "x" * 200, "test": "phone"}, output=f"file:///tmp/{'long-name-' * 12}")
    visit = visiting(records.url)
    page = visit.open("#/?label=test%3Dphone")
    expect(rows(page)).to_have_count(1)
    visit.check_narrow()
    rows(page).get_by_role("link").first.click()
    expect(page.get_by_role("region", name="Plan")).to_be_visible()
    visit.check_narrow()
    visit.open("#/new")
    for method in ("ligo", "auto"):
        page.get_by_role("combobox", name="Method").select_option(method)
        visit.check_narrow()
    page.get_by_label("One that the job trains first").check()
    visit.check_narrow()
