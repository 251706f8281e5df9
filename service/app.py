"""The composition root: settings in, a FastAPI app out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import SecretStr

from jobs.queue import make_celery
from jobs.reconcile import Reconciler
from jobs.store import JobStore
from jobs.watch import Watcher
from service import problems
from service.access_log import AccessLog
from service.auth import Callers
from service.body_limit import BodyLimit
from service.description import describe
from service.parts import Parts
from service.plans import Plans
from service.publisher import Publisher
from service.replay import Replays
from service.routes import catalogue, grow, health, jobs
from service.settings import ServiceSettings
from storage import S3Settings, Storage, StorageSettings

VERSION = "0.1.0"
DESCRIPTION = """Grow a small pretrained transformer checkpoint into a larger one.

`POST /plan` tells what a request would do, `POST /grow` submits it, `GET /jobs/{job_id}` and its events tell how it
goes. The grown checkpoint is written to storage in Hugging Face layout."""


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = describe(self, keyed=bool(self.state.callers.by_hash))
        return self.openapi_schema


def create_app(settings: ServiceSettings | None = None) -> FastAPI:
    """The service, from settings or else the environment. Raises ValueError where the API keys can't be used."""
    settings = settings or ServiceSettings()
    app = _App(
        title="Model growth",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=_lifespan(settings),
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    app.state.callers = Callers.of(settings)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(AccessLog)
    problems.install(app)
    for routes in (grow, jobs, catalogue, health):
        app.include_router(routes.router)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


def _lifespan(settings: ServiceSettings) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        celery = make_celery(settings)
        with closing(JobStore(settings)) as store, closing(Replays(store, settings.redis_url)) as replays:
            async with Watcher(store, settings.redis_url) as watcher:
                publisher, reconciler = Publisher(store, celery), Reconciler(store, celery)
                storage = Storage(_storage(settings))
                app.state.parts = Parts(settings, store, replays, storage, Plans(), publisher, watcher)
                publisher.start()
                reconciler.start()
                try:
                    yield
                finally:
                    publisher.stop()
                    reconciler.stop()
                    celery.close()

    return lifespan


def _storage(settings: ServiceSettings) -> StorageSettings:
    def shown(secret: SecretStr | None) -> str | None:
        return None if secret is None else secret.get_secret_value()

    return StorageSettings(
        S3Settings(
            endpoint_url=settings.s3_endpoint_url,
            region=settings.s3_region,
            access_key_id=shown(settings.s3_access_key_id),
            secret_access_key=shown(settings.s3_secret_access_key),
        )
    )
