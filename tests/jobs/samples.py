"""Requests, plans and endings for tests of the job store."""

import itertools
import time
from collections.abc import Callable

from jobs.schema import Failure, GrowthRequest, Job, ModelSize, Plan, Priority, Result
from jobs.store import JobStore

_outputs = itertools.count()

_SIZE = ModelSize(sizes={"hidden_size": 32}, parameters=1000, weight_bytes=4000, flops_per_token=2000)
PLAN = Plan(
    model_type="llama",
    architecture="LlamaForCausalLM",
    method={"name": "hypercloning"},
    function_preserving=True,
    source=_SIZE,
    target=_SIZE,
    dtype="float32",
    tensors=1,
    shards=1,
    largest_tensor_bytes=4000,
    peak_memory_bytes=10_000,
    notes=["The head is untied."],
)
RESULT = Result(output="s3://models/grown", manifest="s3://models/grown/manifest.json", bytes_written=4000, objects=3)
FAILURE = Failure(code="out_of_memory", detail="The fit needs more memory than the GPU has.", hint="Use a larger GPU.")


def request(
    output: str | None = None,
    *,
    method: str = "hypercloning",
    labels: dict[str, str] | None = None,
    seed: int = 0,
    priority: Priority = "normal",
) -> GrowthRequest:
    """A request, by default with an output of its own."""
    return GrowthRequest.model_validate(
        {
            "source": "s3://models/small",
            "output": output or f"s3://models/grown-{next(_outputs)}",
            "target": {"hidden_size": 64},
            "method": {"name": method, "steps": 3, "init": "pad"},
            "labels": labels or {},
            "seed": seed,
            "priority": priority,
        }
    )


def submit(store: JobStore, wanted: GrowthRequest | None = None, owner: str = "ada") -> Job:
    """A queued job."""
    job, _ = store.create(wanted or request(), PLAN, owner)
    return job


def running(store: JobStore) -> Job:
    """A job in its first attempt."""
    job = store.claim(submit(store).id, "worker-1").job
    assert isinstance(job, Job)
    return job


def wait_until(reached: Callable[[], bool], seconds: float = 60.0) -> None:
    """Returns as soon as `reached` holds, and fails the test if it never does."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"not reached within {seconds} s"
        time.sleep(0.02)
