"""The dashboard: static files that call the API from the browser, under a policy that lets nothing else in."""

import os
from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parents[1] / "dashboard"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    # Asked for again each time, and answered 304, so that no browser mixes the files of two versions.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

router = APIRouter(include_in_schema=False)


class _Files(StaticFiles):
    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(HEADERS)
        return response


@router.api_route("/", methods=["GET", "HEAD"])
def show_dashboard() -> FileResponse:
    """The one page; which of its views is shown stands behind the `#`, and never reaches the service."""
    return FileResponse(FOLDER / "index.html", headers=HEADERS)


def install(app: FastAPI) -> None:
    """Serves the page at `/` and what it loads under `/dashboard/`; both are open, and hold nothing of anyone's."""
    app.include_router(router)
    app.mount("/dashboard", _Files(directory=FOLDER), name="dashboard")
