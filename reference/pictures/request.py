"""How a request becomes a grown checkpoint, step by step, from top to bottom."""

from reference.pictures.drawing import CHARACTER_WIDTH, Drawing

PARTIES = ("client", "service", "Redis", "worker", "child", "store")
FIRST, GAP, TOP, STEP = 75, 162, 62, 36
# Who tells whom what; where both are the same, what it does by itself.
STEPS = (
    ("client", "service", "POST /grow"),
    ("service", "store", "reads config.json and the tensors' headers: a few small ranges"),
    ("service", "service", "plans by the axis table; refuses what can't be, with the nearest that can"),
    ("service", "Redis", "record, outbox"),
    ("service", "client", "202: job, plan"),
    ("service", "Redis", "id to the queue"),
    ("Redis", "worker", "the id"),
    ("worker", "Redis", "claim: lease"),
    ("worker", "child", "the work"),
    ("child", "store", "source, in ranges"),
    ("child", "child", "operator: filled in or fitted"),
    ("child", "store", "shards, streamed"),
    ("child", "child", "verifies what it wrote"),
    ("child", "worker", "may I commit?"),
    ("worker", "Redis", "is the lease mine?"),
    ("child", "store", "index, if none yet"),
    ("worker", "Redis", "succeeded"),
)
AFTER_A_LOSS = (
    "The reconciler publishes again what has no message, and takes a job from a worker whose lease has ended:",
    "steps 7 to 17 begin anew, as the next attempt. Its shards have names of their own, and step 16 lets one",
    "index be written, whoever comes late. What the other attempts left is deleted.",
)


def request() -> Drawing:
    bottom = TOP + STEP * len(STEPS) + 26
    drawing = Drawing(FIRST + GAP * (len(PARTIES) - 1) + FIRST, bottom + 114, "The way of one request, step by step")
    columns = {party: FIRST + GAP * number for number, party in enumerate(PARTIES)}
    for party, x in columns.items():
        drawing.line((x, 50), (x, bottom), kind="thin")
        drawing.box(x - 55, 18, 110, 32, party, kind="strong" if party == "child" else "plain")
    for number, (teller, told, what) in enumerate(STEPS, start=1):
        y = TOP + STEP * number - 6
        start, end = columns[teller], columns[told]
        if teller == told:
            drawing.label(start + 18 + len(what) * CHARACTER_WIDTH / 2, y + 4, what)
        else:
            drawing.arrow((start, y), (end, y))
            drawing.label((start + end) / 2, y - 6, what)
        drawing.mark(start, y, str(number))
    drawing.box(FIRST - 55, bottom + 14, GAP * 5 + 110, 84, "Whatever is killed, whenever", *AFTER_A_LOSS, kind="warm")
    return drawing
