"""Whether the process lives, and whether it can do its work; open to probes, which carry no key."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from service.parts import SharedParts
from service.problems import declared

router = APIRouter(tags=["health"])


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    status: Literal["ready"] = "ready"
    warnings: list[str]
    """What about the job store's configuration may lose records, one sentence each."""


@router.get("/healthz", responses=declared(500))
async def get_health() -> Health:
    """The process lives."""
    return Health()


@router.get("/readyz", responses=declared(500, 503))
def get_readiness(parts: SharedParts) -> Readiness:
    """The job store answers."""
    return Readiness(warnings=parts.store.ready())
