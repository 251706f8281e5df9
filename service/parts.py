"""What the composition root builds once and every route shares."""

from dataclasses import dataclass
from typing import Annotated

from celery import Celery
from fastapi import Depends, Request

from jobs.store import JobStore
from jobs.watch import Watcher
from jobs.webhooks import Webhooks
from service.settings import ServiceSettings
from storage import Storage


@dataclass(frozen=True, slots=True)
class Parts:
    settings: ServiceSettings
    store: JobStore
    storage: Storage
    celery: Celery
    watcher: Watcher
    webhooks: Webhooks
    heartbeat_seconds: float


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


SharedParts = Annotated[Parts, Depends(_parts)]
