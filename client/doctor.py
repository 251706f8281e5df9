"""`grow doctor`: is the service there, does it know the key, may it lose records, do versions and torch fit.

Each finding says what to do. Torch is looked at in a process of its own: it takes its time, and the client does
without it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from client.errors import GrowError, ProblemError, Unreachable
from client.hints import hint_for
from client.sdk import GrowClient

State = Literal["ok", "warning", "failed"]
TORCH_SECONDS = 120
_TORCH = (
    "import json, torch; gpus = [torch.cuda.get_device_name(at) for at in range(torch.cuda.device_count())]; "
    "print(json.dumps([torch.__version__, torch.version.cuda, gpus]))"
)
_INSTALL = "For `grow up` and `grow run` on this machine: `pip install 'model-growth[local]'`."


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it is, and what to do where it is not well."""

    name: str
    state: State
    told: str
    hint: str | None = None
    error: GrowError | None = None
    """Which ended the look, where one did."""

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "state": self.state, "told": self.told, "hint": self.hint}


def findings(client: GrowClient, request: Mapping[str, Any]) -> Iterator[Finding]:
    """What there is to say of the service, then of this machine; with a `request`, of its places in storage too."""
    yield from _service(client, request)
    yield _packages()
    yield _torch()


def _service(client: GrowClient, request: Mapping[str, Any]) -> Iterator[Finding]:
    own = version("model-growth")
    try:
        theirs = client.service_version()
    except GrowError as error:
        yield _failed("service", error)
        # What is to be asked next would wait for the same answer.
        if isinstance(error, Unreachable):
            return
    else:
        yield Finding("service", "ok", f"answers at {client.url}")
        yield _versions(own, theirs)
    yield from _job_store(client)
    yield _key(client)
    if request:
        yield _places(client, request)


def _versions(own: str, theirs: str) -> Finding:
    if own == theirs:
        return Finding("version", "ok", f"client and service are both {own}")
    told = f"the client is {own}, the service {theirs}"
    return Finding("version", "warning", told, f"Install the service's: `pip install 'model-growth=={theirs}'`.")


def _job_store(client: GrowClient) -> Iterator[Finding]:
    try:
        warnings = client.readiness().warnings
    except GrowError as error:
        yield _failed("job store", error)
        return
    if not warnings:
        yield Finding("job store", "ok", "answers, and keeps what it is told")
    for warning in warnings:
        yield Finding(
            "job store", "warning", warning, "Set it in the Redis or Valkey of the service, and start it again."
        )


def _key(client: GrowClient) -> Finding:
    try:
        known = len(client.methods())
    except GrowError as error:
        return _failed("key", error)
    return Finding("key", "ok", f"the service lets this caller in, and offers {known} methods")


def _places(client: GrowClient, request: Mapping[str, Any]) -> Finding:
    try:
        plan = client.plan(request)
    except GrowError as error:
        return _failed("request", error)
    return Finding("request", "ok", f"can be planned: its places are allowed; {plan.target.parameters:,} parameters")


def _packages() -> Finding:
    missing = [name for name in ("transformers", "safetensors", "celery", "redis", "fastapi") if not _installed(name)]
    if missing:
        return Finding("packages", "warning", f"not installed here: {', '.join(missing)}", _INSTALL)
    return Finding("packages", "ok", f"transformers {version('transformers')}, safetensors {version('safetensors')}")


def _torch() -> Finding:
    if not _installed("torch"):
        return Finding("torch", "warning", "not installed here", _INSTALL)
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", _TORCH], capture_output=True, text=True, check=True, timeout=TORCH_SECONDS
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        last = str(error.stderr or error).strip().rpartition("\n")[2]
        return Finding("torch", "failed", f"can't be imported: {last}", f"Install it again. {_INSTALL}")
    found, cuda, gpus = json.loads(done.stdout)
    if gpus:
        return Finding("torch", "ok", f"{found}, {', '.join(gpus)}")
    if cuda is None:
        return Finding("torch", "ok", f"{found}, for CPUs: fits of large models take a build for GPUs")
    hint = "Look whether `nvidia-smi` shows one, and whether the driver is new enough for this CUDA."
    return Finding("torch", "warning", f"{found} for CUDA {cuda} sees no GPU", hint)


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _failed(name: str, error: GrowError) -> Finding:
    code = error.code if isinstance(error, ProblemError) else type(error).__name__
    return Finding(name, "failed", error.detail, hint_for(error) or f"docs/errors.md tells more of `{code}`.", error)
