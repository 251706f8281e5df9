"""From a form to a grown model in the browser, with the real service and its worker behind it."""

import json
import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.dashboard.conftest import Shoot, Visiting
from tests.dashboard.service import BROKEN, BUCKET, DATA, ENDLESS, FIT, SOURCE, TARGET, Service

HOSTILE = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>"


def badge(page: Page, status: str) -> Locator:
    return page.locator(f".heading .badge[data-status={status}]")


def text_field(page: Page, name: str) -> Locator:
    return page.get_by_role("textbox", name=name, exact=True)


def options(page: Page) -> Locator:
    """What opens the options of the chosen method."""
    return page.get_by_text(re.compile(r"^\d+ options?$"))


def fill_places(page: Page, service: Service, output: str | None = None) -> None:
    text_field(page, "Checkpoint required").fill(f"{BUCKET}/{SOURCE}")
    text_field(page, "Output required").fill(output or service.output())


def tab_to(page: Page, wanted: Locator) -> None:
    """By the tab key alone, as far as it takes."""
    for _ in range(80):
        if wanted.evaluate("(element) => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the tab key never reaches {wanted}")


def test_a_job_is_submitted_and_watched_by_keyboard_alone(service: Service, visiting: Visiting) -> None:
    page = visiting(service.url).open()
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("main").get_by_role("link", name="New job")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="New job", exact=True)).to_be_focused()

    written = {"Checkpoint required": f"{BUCKET}/{SOURCE}", "Output required": service.output(), "hidden_size": "64"}
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

    expect(badge(page, "succeeded")).to_be_visible()
    expect(page.locator("#live")).to_have_text("Succeeded")
    for stage in ("Planning", "Expanding", "Verifying", "Committing"):
        expect(
            page.get_by_role("region", name="Stages").get_by_role("listitem").filter(has_text=stage)
        ).to_have_attribute("data-state", "done")
    expect(page.get_by_role("region", name="Growth report").get_by_text("Logits moved by")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Heat map of hidden: 64 × 32")).first).to_be_visible()
    expect(
        page.get_by_role("region", name="Attempts").get_by_role("row", name=re.compile("^1 .*Succeeded"))
    ).to_be_visible()
    expect(page.get_by_role("link", name="run=first", exact=True)).to_be_visible()


def test_a_fit_is_watched_live(service: Service, visiting: Visiting, shot: Shoot) -> None:
    visit = visiting(service.url)
    page = visit.open("#/new")
    fill_places(page, service, f"{BUCKET}/llama-large")
    for name, size in TARGET.items():
        text_field(page, name).fill(str(size))
    page.get_by_role("combobox", name="Method").select_option("ligo")
    options(page).click()
    for name, value in {"steps": "60", "batch_size": "8", "held_out_every": "5", "depth_learning_rate": "0.03"}.items():
        text_field(page, name).fill(value)
    for name, given in DATA.items():
        text_field(page, name).fill(str(given))
    options(page).click()
    page.get_by_role("button", name="Show the plan").click()
    expect(page.get_by_text("Changes the function")).to_be_visible()
    shot(page, "new-job")
    page.get_by_role("button", name="Submit this job").click()

    expect(page.get_by_role("region", name="Stages").locator("[data-state=now]")).to_have_text(re.compile("Fitting"))
    fit = page.get_by_role("region", name="Fit")
    expect(fit.get_by_text("Held-out loss")).to_be_visible()
    expect(badge(page, "running")).to_be_visible()
    expect(badge(page, "succeeded")).to_be_visible()
    expect(fit.get_by_text(re.compile("at step 0 to .* at step 60"))).to_be_visible()
    expect(fit.locator("canvas")).to_be_visible()
    expect(page.get_by_text("Fit lowered the loss to")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile(r"Heat map of .*q_proj\.weight: 4 × 2")).first).to_be_visible()
    shot(page, "job")
    page.emulate_media(color_scheme="dark")
    visit.check_narrow()
    page.evaluate("() => scrollTo(0, 0)")
    shot(page, "job-on-a-phone", whole=False)


def test_why_a_job_failed(service: Service, visiting: Visiting, shot: Shoot) -> None:
    job = service.submit(source=f"{BUCKET}/{BROKEN}", output=f"{BUCKET}/llama-unusable")
    ended = service.ended(job["id"])
    assert ended["status"] == "failed"
    visit = visiting(service.url)
    page = visit.open()
    row = page.get_by_role("listitem").filter(has_text="llama-unusable")
    expect(row).to_contain_text(ended["error"]["detail"])
    row.get_by_role("link", name="llama-unusable").click()
    expect(badge(page, "failed")).to_be_visible()
    expect(page.locator(".box.bad")).to_contain_text(ended["error"]["detail"])
    expect(page.locator(".box.bad")).to_contain_text(ended["error"]["code"])
    expect(page.locator("[data-state=ended-here]")).to_be_visible()
    shot(page, "failed-job")
    visit.check_narrow()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text(job["id"])).to_be_hidden()
    expect(badge(page, "failed")).to_be_visible()
    expect(page.get_by_role("heading", name="llama-unusable")).to_be_visible()


def test_a_running_job_is_cancelled(service: Service, visiting: Visiting, shot: Shoot) -> None:
    method = FIT | {"steps": ENDLESS}
    running = service.submit(method=method, data=DATA, output=f"{BUCKET}/llama-endless", labels={"team": "nlp"})
    queued = service.submit(output=f"{BUCKET}/llama-waiting", labels={"team": "vision"})
    page = visiting(service.url).open()
    row = page.get_by_role("listitem").filter(has_text="llama-endless")
    expect(row).to_contain_text("Fitting, 0 %")
    expect(page.get_by_role("listitem").filter(has_text="llama-waiting")).to_contain_text("Next in the queue")
    shot(page, "jobs")
    row.get_by_role("link", name="llama-endless").click()
    expect(page.get_by_text("Held-out loss")).to_be_visible()
    page.get_by_role("button", name="Cancel the job").click()
    expect(badge(page, "cancelled")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel the job")).to_be_hidden()
    assert service.job(running["id"])["status"] == "cancelled"
    assert service.ended(queued["id"])["status"] == "succeeded"


def test_a_refusal_stands_at_its_field(service: Service, visiting: Visiting) -> None:
    page = visiting(service.url).open("#/new")
    show_plan = page.get_by_role("button", name="Show the plan")
    show_plan.click()
    expect(text_field(page, "Checkpoint required")).to_have_attribute("aria-invalid", "true")
    expect(text_field(page, "Checkpoint required")).to_be_focused()
    fill_places(page, service)
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


def test_a_job_is_the_template_of_another(service: Service, visiting: Visiting) -> None:
    given: dict[str, Any] = {
        "method": {**FIT, "steps": 3, "init": {"name": "lemon", "noise": 0.5}},
        "data": DATA,
        "dtype": "bfloat16",
        "verify": False,
        "labels": {"team": "hostile", "note": HOSTILE},
    }
    job = service.submit(**given)
    service.cancel(job["id"])
    page = visiting(service.url).open("#/?label=team%3Dhostile")
    hostile = page.get_by_role("link", name=f"note={HOSTILE}", exact=True)
    expect(hostile).to_be_visible()
    page.get_by_role("link", name=re.compile("^llama-grown-")).click()
    expect(page.get_by_role("link", name="Use as a template")).to_be_visible()
    expect(hostile).to_be_visible()
    page.get_by_role("link", name="Use as a template").click()
    text_field(page, "Output required").fill(service.output())
    page.get_by_role("button", name="Show the plan").click()
    page.get_by_role("region", name="What this job will do").get_by_text("As JSON").click()
    asked = page.locator("pre").inner_text()
    expected = {"target": TARGET, **given}
    assert {name: json.loads(asked)[name] for name in expected} == expected
