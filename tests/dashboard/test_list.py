"""The list of jobs: filters, pages, and progress as it comes."""

import re

from playwright.sync_api import expect

from jobs.schema import Stage
from tests.dashboard.conftest import Visiting
from tests.dashboard.elements import rows
from tests.dashboard.records import Records


def test_jobs_are_filtered(records: Records, visiting: Visiting) -> None:
    for method, team in (("hypercloning", "nlp"), ("lemon", "nlp"), ("lemon", "vision")):
        records.submit(method=method, labels={"team": team, "test": "filters"})
    page = visiting(records.url).open("#/?label=test%3Dfilters")
    expect(rows(page)).to_have_count(3)
    page.get_by_label("Method").select_option("lemon")
    expect(rows(page)).to_have_count(2)
    page.get_by_label("Label", exact=True).fill("test=filters, team=vision")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(1)
    expect(page.get_by_label("Method")).to_have_value("lemon")
    page.get_by_label("Status").select_option("running")
    expect(rows(page)).to_have_count(0)
    expect(page.get_by_text("No job is like this.")).to_be_visible()
    page.go_back()
    expect(rows(page)).to_have_count(1)
    page.get_by_role("link", name="team=vision").click()
    expect(page.get_by_label("Label", exact=True)).to_have_value("team=vision")
    page.get_by_label("Label", exact=True).fill("no label")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("label")


def test_older_jobs_come_on_demand(records: Records, visiting: Visiting) -> None:
    for _ in range(33):
        records.submit(labels={"test": "older"})
    page = visiting(records.url).open("#/?label=test%3Dolder")
    expect(rows(page)).to_have_count(30)
    page.get_by_role("button", name="Show older jobs").click()
    expect(rows(page)).to_have_count(33)
    expect(page.get_by_role("button", name="Show older jobs")).to_be_hidden()


def test_progress_is_live_and_leaves_the_focus(records: Records, visiting: Visiting) -> None:
    job = records.submit(labels={"test": "live"})
    page = visiting(records.url).open("#/?label=test%3Dlive")
    link = rows(page).get_by_role("link", name=re.compile("^grown-"))
    link.focus()
    claim = records.claim(job)
    records.store.update(job, claim.attempt, stage=Stage.EXPANDING, progress=0.25)
    expect(rows(page)).to_contain_text("Expanding, 25 %")
    records.store.update(job, claim.attempt, progress=0.5)
    expect(rows(page)).to_contain_text("Expanding, 50 %")
    expect(rows(page).get_by_role("progressbar")).to_have_js_property("value", 0.5)
    expect(link).to_be_focused()
    records.store.finish(job, claim.attempt, None)
    expect(rows(page).locator("[data-status=cancelled]")).to_be_visible()
    expect(link).to_be_focused()
