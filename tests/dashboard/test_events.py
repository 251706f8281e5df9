"""A job's page while its events come, and when the stream of them breaks."""

import re

from playwright.sync_api import expect

from jobs.schema import EventKind, Failure, Stage
from tests.client.gateway import Answers, CutsStream, Gateway
from tests.dashboard.conftest import Visiting
from tests.dashboard.elements import badge
from tests.dashboard.records import Records


def test_attempts_curves_and_events_as_they_come(records: Records, visiting: Visiting) -> None:
    job = records.submit(labels={"test": "attempts"})
    page = visiting(records.url).open(f"#/jobs/{job}")
    expect(page.get_by_text("Queued").first).to_be_visible()
    first = records.claim(job)
    records.store.update(job, first.attempt, stage=Stage.PRETRAINING)
    records.store.append_event(job, first.attempt, EventKind.PRETRAINING, {"step": 0, "held_out_loss": 6.5})
    training = page.get_by_role("region", name="Training of the source")
    expect(training).to_contain_text("Held-out loss 6.5 at step 0")
    records.store.append_event(job, first.attempt, EventKind.PRETRAINING, {"step": 50, "held_out_loss": 5.25})
    expect(training).to_contain_text("to 5.25 at step 50")
    records.store.append_event(job, first.attempt, EventKind.LOG, {"message": "<b>bold</b>"})
    expect(page.get_by_role("region", name="Events")).to_contain_text("<b>bold</b>")
    records.store.release(job, first.attempt, counts=True)
    expect(page.get_by_role("row", name=re.compile("^1 .*Pretraining Released"))).to_be_visible()
    second = records.claim(job)
    records.store.update(job, second.attempt, stage=Stage.PLANNING)
    expect(page.get_by_role("row", name=re.compile("^2 .*Planning runs a worker"))).to_be_visible()
    records.store.finish(
        job, second.attempt, Failure(code="not_finite", detail="It is <i>no</i> number.", hint="Wider.")
    )
    expect(page.locator(".box.bad")).to_contain_text("It is <i>no</i> number.")
    expect(page.locator(".box.bad")).to_contain_text("Wider.")


def test_a_stream_that_breaks_goes_on_where_it_was(records: Records, visiting: Visiting) -> None:
    job = records.submit(labels={"test": "stream"})
    claim = records.claim(job)
    records.store.update(job, claim.attempt, stage=Stage.PLANNING)
    with Gateway(records.url, ending="/events").running() as gateway:
        gateway.faults.extend([CutsStream(2), Answers(503)])
        page = visiting(gateway.url).open(f"#/jobs/{job}")
        events = page.get_by_role("region", name="Events").get_by_role("listitem")
        expect(events).to_have_count(3)
        records.store.finish(job, claim.attempt, None)
        expect(events).to_have_count(4)
        expect(badge(page, "cancelled")).to_be_visible()
        streams = [seen.headers for seen in gateway.seen if seen.path.endswith("/events")]
    first, *later = records.store.events(job).events
    assert "last-event-id" not in streams[0]
    assert streams[-1]["last-event-id"] == later[0].id != first.id
