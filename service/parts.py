"""What the composition root builds once and every route shares."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from jobs.store import JobStore
from jobs.watch import Watcher
from jobs.webhooks import Webhooks
from service.creations import Creations
from service.looks import Looks
from service.open_calls import OpenCalls
from service.plans import Plans
from service.publisher import Publisher
from service.settings import ServiceSettings
from storage import Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    settings: ServiceSettings
    store: JobStore
    storage: Storage
    plans: Plans
    looks: Looks
    creations: Creations
    publisher: Publisher
    watcher: Watcher
    webhooks: Webhooks
    open_calls: OpenCalls
    heartbeat_seconds: float


async def _parts(request: Request) -> Parts:
    # `async`, because FastAPI gives a plain function a thread of its own.
    parts: Parts = request.app.state.parts
    return parts


SharedParts = Annotated[Parts, Depends(_parts)]
