"""A plan by `auto`: the method that it picked, and why; nothing is measured before a worker has the job."""

from pathlib import Path

from starlette.testclient import TestClient

from jobs.schema import Job, Plan
from tests.service.conftest import Body

TARGET = {"hidden_size": 48, "num_hidden_layers": 3}


def test_plan_tells_what_was_picked_and_what_was_impossible(client: TestClient, body: Body, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("a model grows")
    body |= {"method": "auto", "target": TARGET, "data": {"uri": f"file://{text}"}}
    response = client.post("/plan", json=body)
    assert response.status_code == 200, response.text
    plan = Plan.model_validate(response.json())
    assert plan.method == {"name": "pad", "depth": "stack", "scale": 1.0}
    assert plan.selection is not None
    assert plan.selection.method == plan.method
    known = {candidate.label: candidate for candidate in plan.selection.candidates}
    assert [label for label, candidate in known.items() if candidate.open] == ["pad + stack", "pad + interpolate"]
    assert "can't make 3 layers of 2" in known["pad + solar"].refusal
    assert all(candidate.held_out_loss is None for candidate in known.values())
    assert plan.notes[0].startswith("auto picked pad + stack. ")
    assert any("decides between pad + stack, pad + interpolate" in note for note in plan.notes)

    job = Job.model_validate(client.post("/grow", json=body).json())
    assert job.plan == plan
    assert job.request.method.name == "auto"


def test_a_function_that_must_stay(client: TestClient, body: Body) -> None:
    body |= {"method": {"name": "auto", "function_preserving": True}, "target": TARGET}
    plan = Plan.model_validate(client.post("/plan", json=body).json())
    assert plan.function_preserving
    assert plan.method["name"] == "lemon"
    assert any(note.startswith("hypercloning + identity is not possible: ") for note in plan.notes)


def test_a_plan_by_name_tells_of_no_selection(client: TestClient, body: Body) -> None:
    assert client.post("/plan", json=body).json()["selection"] is None
