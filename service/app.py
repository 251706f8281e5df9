"""The composition root: settings in, a FastAPI app out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from jobs.counters import Counters
from jobs.queue import make_celery
from jobs.reconcile import Reconciler
from jobs.redaction import Redactor
from jobs.store import JobStore
from jobs.watch import Watcher
from jobs.webhooks import Webhooks
from service import problems
from service.access_log import AccessLog
from service.auth import Callers
from service.body_limit import BodyLimit
from service.courier import Courier
from service.creations import Creations
from service.description import describe
from service.event_stream import HEARTBEAT_SECONDS
from service.key_store import KeyStore
from service.keyring import Keyring
from service.looks import Looks
from service.metrics import JobMetrics, RequestMetrics, process_registry
from service.open_calls import OpenCalls
from service.parts import Parts
from service.plans import Plans
from service.publisher import Publisher
from service.routes import catalogue, dashboard, grow, health, jobs, metrics, tune, webhooks
from service.settings import ServiceSettings
from service.webhook_events import describe_webhooks
from storage import S3Settings, Storage, StorageSettings
from telemetry.traces import OFF, Traces

VERSION = "0.1.0"
DESCRIPTION = """Grow a small pretrained transformer checkpoint into a larger one.

`POST /plan` tells what a request would do, `POST /grow` submits it, `GET /jobs/{job_id}` and its events tell how it
goes. The grown checkpoint is written to storage in Hugging Face layout."""


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        described: dict[bool, dict[str, Any]] = self.state.described
        keyed = self.state.callers.need_keys()
        if keyed not in described:
            described[keyed] = describe(self, keyed=keyed)
        return described[keyed]


def create_app(
    settings: ServiceSettings | None = None,
    traces: Traces = OFF,
    *,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
) -> FastAPI:
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
    app.state.described = {}
    app.state.redact = Redactor(settings.secrets())
    app.state.callers = Callers(settings, keyring)
    app.add_middleware(BodyLimit)
    app.state.registry = process_registry()
    app.add_middleware(AccessLog, metrics=RequestMetrics(app.state.registry), traces=traces)
    problems.install(app)
    for routes in (grow, tune, jobs, webhooks, catalogue, health, metrics):
        app.include_router(routes.router)
    dashboard.install(app)
    describe_webhooks(app)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


def _lifespan(settings: ServiceSettings, keyring: Keyring, heartbeat_seconds: float) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        celery = make_celery(settings)
        storage = Storage(StorageSettings(S3Settings(**settings.s3_access())))
        outbox = Webhooks(settings.redis_url)
        with (
            closing(keyring),
            closing(outbox),
            closing(JobStore(settings)) as store,
            closing(Counters(store.keys, settings.redis_url)) as counters,
        ):
            app.state.registry.register(JobMetrics(counters))
            async with Watcher(store, settings.redis_url) as watcher:
                creations, publisher = Creations(store), Publisher(store, celery)
                looks = Looks(creations.begin)
                open_calls = OpenCalls(app.state.callers)
                app.state.parts = Parts(
                    settings=settings,
                    store=store,
                    storage=storage,
                    plans=Plans(),
                    looks=looks,
                    creations=creations,
                    publisher=publisher,
                    watcher=watcher,
                    webhooks=outbox,
                    open_calls=open_calls,
                    heartbeat_seconds=heartbeat_seconds,
                )
                publisher.start()
                courier = Courier(store, outbox, settings.webhook_hosts)
                tasks = [asyncio.create_task(courier.run()), asyncio.create_task(open_calls.run())]
                reconciler = Reconciler.by(settings, store, celery)
                reconciler.start()
                try:
                    yield
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.wait(tasks)
                    looks.stop()
                    creations.stop()
                    publisher.stop()
                    reconciler.stop()
                    celery.close()

    return lifespan
