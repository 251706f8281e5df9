"""The statuses of a job, and the stages of one that runs."""

from reference.pictures.drawing import Drawing

STAGES = ("planning", "pretraining", "selecting", "fitting", "expanding", "verifying", "committing")


def states() -> Drawing:
    drawing = Drawing(960, 250, "The statuses of a job and the stages of a running one")
    drawing.box(20, 70, 110, 44, "queued")
    drawing.box(240, 26, 540, 132, kind="strong")
    drawing.text(510, 48, "running, with a lease and the number of the attempt", kind="title", anchor="middle")
    for number, stage in enumerate(STAGES):
        x = 250 + 75 * number
        optional = stage in ("pretraining", "selecting", "fitting")
        drawing.box(x, 76, 70, 32, kind="warm" if optional else "plain")
        drawing.text(x + 35, 96, stage, kind="soft", anchor="middle")
    drawing.text(
        510, 138, "pretraining, selecting and fitting where the request asks for them", kind="soft", anchor="middle"
    )
    drawing.box(830, 26, 110, 36, "succeeded")
    drawing.box(830, 74, 110, 36, "failed")
    drawing.box(830, 122, 110, 36, "cancelled")
    drawing.arrow((130, 84), (240, 84), label="claim", at=(185, 78))
    drawing.arrow((240, 104), (130, 104), label="lease ended,", at=(185, 122))
    drawing.label(185, 138, "worker leaves")
    for y in (44, 92, 140):
        drawing.arrow((780, y), (830, y))
    drawing.arrow((75, 114), (75, 206), (885, 206), (885, 158), label="cancelled before it ran", at=(480, 200))
    drawing.label(480, 232, "No way leads out of an end: retry makes a new job.")
    return drawing
