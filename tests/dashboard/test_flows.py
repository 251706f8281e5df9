"""From a form to a grown model in the browser, with the real service and its worker behind it."""

import re

from playwright.sync_api import expect

from tests.dashboard.conftest import Shoot, Visiting
from tests.dashboard.elements import badge, options, text_field
from tests.dashboard.service import BROKEN, BUCKET, DATA, ENDLESS, FIT, SOURCE, TARGET, Service


def test_a_fit_is_watched_live(service: Service, visiting: Visiting, shot: Shoot) -> None:
    visit = visiting(service.url)
    page = visit.open("#/new")
    text_field(page, "Checkpoint required").fill(f"{BUCKET}/{SOURCE}")
    text_field(page, "Output required").fill(f"{BUCKET}/llama-large")
    for name, size in TARGET.items():
        text_field(page, name).fill(str(size))
    page.get_by_role("combobox", name="Method").select_option("ligo")
    options(page).click()
    for name, value in {
        "steps": "300",
        "batch_size": "8",
        "held_out_every": "25",
        "depth_learning_rate": "0.03",
    }.items():
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
    expect(fit.get_by_text(re.compile("at step 0 to .* at step 300"))).to_be_visible()
    expect(fit.locator("canvas")).to_be_visible()
    expect(page.locator("#live")).to_have_text("Succeeded")
    stages = page.get_by_role("region", name="Stages").get_by_role("listitem")
    for stage in ("Planning", "Fitting", "Expanding", "Verifying", "Committing"):
        expect(stages.filter(has_text=stage)).to_have_attribute("data-state", "done")
    for told in ("Source's loss", "Grown model's loss", "Logits moved by", "Fit lowered the loss to"):
        expect(page.get_by_role("region", name="Growth report").get_by_text(told)).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("^1 .*Succeeded"))).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Heat map of hidden: 64 × 32")).first).to_be_visible()
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
    expect(page.get_by_role("heading", name="llama-unusable")).to_be_visible()
    service.cancel(page.url.rpartition("/")[2])


def test_a_running_job_is_cancelled(service: Service, visiting: Visiting, shot: Shoot) -> None:
    method = FIT | {"steps": ENDLESS}
    running = service.submit(method=method, data=DATA, output=f"{BUCKET}/llama-endless", labels={"team": "nlp"})
    queued = service.submit(output=f"{BUCKET}/llama-waiting", labels={"team": "vision"})
    page = visiting(service.url).open()
    row = page.get_by_role("listitem").filter(has_text="llama-endless")
    expect(row).to_contain_text("Fitting, 0 %")
    expect(page.get_by_role("listitem").filter(has_text="llama-waiting")).to_contain_text("Next in the queue")
    shot(page, "jobs")
    service.cancel(queued["id"])
    row.get_by_role("link", name="llama-endless").click()
    expect(page.get_by_text("Held-out loss")).to_be_visible()
    page.get_by_role("button", name="Cancel the job").click()
    expect(badge(page, "cancelled")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel the job")).to_be_hidden()
    assert service.job(running["id"])["status"] == "cancelled"
