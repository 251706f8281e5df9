"""Who talks to whom: client, service, Redis, worker, child and store."""

from reference.pictures.drawing import Drawing


def processes() -> Drawing:
    drawing = Drawing(960, 430, "Processes of the service and what they tell each other")
    drawing.box(20, 60, 130, 76, "client", "SDK, grow, curl,", "dashboard")
    drawing.box(270, 40, 190, 190, "service", "checks and plans,", "without torch")
    drawing.box(290, 112, 150, 46, "publisher", "sends new ids", kind="warm")
    drawing.box(290, 170, 150, 46, "reconciler", "finds what is lost", kind="warm")
    drawing.box(590, 40, 160, 190, "Redis or Valkey", "job records, events,", "leases, keys")
    drawing.box(608, 112, 124, 46, "queue", "Celery's: ids alone", kind="warm")
    drawing.box(608, 170, 124, 46, "outbox", "ids not sent yet", kind="warm")
    drawing.box(820, 40, 120, 84, "worker", "claims one job,", "holds its lease")
    drawing.box(
        820, 176, 120, 92, "child process", "all work in torch:", "fit, expand,", "verify, commit", kind="strong"
    )
    drawing.box(
        270,
        330,
        670,
        76,
        "store: s3:// or file://",
        "source, data, tokenizer: read in ranges",
        "output: shards, then the index, which is the commit",
    )

    drawing.arrow((150, 84), (270, 84), label="POST /grow")
    drawing.arrow((270, 114), (150, 114), label="202, the plan", at=(210, 132))
    drawing.arrow((460, 68), (590, 68), label="record + outbox", at=(525, 61))
    drawing.label(525, 84, "one script")
    drawing.arrow((440, 135), (608, 135))
    drawing.label(525, 130, "new job's id")
    drawing.arrow((608, 193), (440, 193))
    drawing.label(525, 188, "what is due,")
    drawing.label(525, 207, "leases that ended")
    drawing.arrow((732, 135), (782, 135), (782, 104), (820, 104), label="job id", at=(780, 154))
    drawing.arrow((820, 64), (750, 64), label="claim,", at=(785, 57))
    drawing.label(785, 80, "progress")
    drawing.arrow((862, 124), (862, 176))
    drawing.arrow((898, 176), (898, 124))
    drawing.label(880, 154, "work, progress")
    drawing.arrow((365, 330), (365, 230), label="config.json, headers", at=(365, 285))
    drawing.arrow((858, 330), (858, 268))
    drawing.arrow((902, 268), (902, 330))
    drawing.label(880, 304, "ranges in, shards out")
    return drawing
