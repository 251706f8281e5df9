"""The composition root: settings in, a FastAPI app out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from jobs.queue import make_celery
from jobs.reconcile import Reconciler
from jobs.redaction import Redactor
from jobs.schema import Problem
from jobs.store import JobStore
from jobs.watch import Watcher
from jobs.webhooks import Webhooks
from service import problems
from service.access_log import AccessLog
from service.auth import Callers
from service.body_limit import BodyLimit
from service.courier import Courier
from service.event_stream import HEARTBEAT_SECONDS
from service.key_store import KeyStore
from service.keyring import Keyring
from service.parts import Parts
from service.routes import catalogue, dashboard, grow, health, jobs, tune, webhooks
from service.settings import ServiceSettings
from storage import S3Settings, Storage, StorageSettings

VERSION = "0.1.0"
DESCRIPTION = """Grow a small pretrained transformer checkpoint into a larger one.

`POST /plan` tells what a request would do, `POST /grow` submits it, `GET /jobs/{job_id}` and its events tell how it
goes. The grown checkpoint is written to storage in Hugging Face layout."""


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            schema = get_openapi(
                title=self.title, version=self.version, description=self.description, routes=self.routes
            )
            schema["components"]["schemas"]["Problem"] = Problem.model_json_schema()
            self.openapi_schema = schema
        return self.openapi_schema


def create_app(settings: ServiceSettings | None = None, *, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> FastAPI:
    """The service, from settings or else the environment. Raises ValueError where the API keys can't be used."""
    settings = settings or ServiceSettings()
    keyring = Keyring(settings, KeyStore(settings.redis_url))
    app = _App(
        title="Model growth",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=_lifespan(settings, keyring, heartbeat_seconds),
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    app.state.redact = Redactor(settings.secrets())
    app.state.callers = Callers(settings, keyring)
    app.add_middleware(BodyLimit)
    app.add_middleware(AccessLog)
    problems.install(app)
    for routes in (grow, tune, jobs, webhooks, catalogue, health):
        app.include_router(routes.router)
    dashboard.install(app)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


def _lifespan(settings: ServiceSettings, keyring: Keyring, heartbeat_seconds: float) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        celery = make_celery(settings)
        storage = Storage(StorageSettings(S3Settings(**settings.s3_access())))
        outbox = Webhooks(settings.redis_url)
        with closing(keyring), closing(outbox), closing(JobStore(settings)) as store:
            async with Watcher(store, settings.redis_url) as watcher:
                app.state.parts = Parts(settings, store, storage, celery, watcher, outbox, heartbeat_seconds)
                courier = asyncio.create_task(Courier(store, outbox, settings.webhook_hosts).run())
                reconciler = Reconciler.by(settings, store, celery)
                reconciler.start()
                try:
                    yield
                finally:
                    courier.cancel()
                    await asyncio.wait([courier])
                    reconciler.stop()
                    celery.close()

    return lifespan
