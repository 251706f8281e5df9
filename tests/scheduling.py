"""Which tests run in one process, of those that pytest-xdist shares out: those that share a service and a browser.

pytest-xdist's own groups by mark are lost on pytest 9.2, which keeps a test's id where xdist does not look.
"""

from typing import Any

from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("tests/dashboard/",)


class ByFolder(LoadScopeScheduling):  # type: ignore[misc]
    """Every test by itself, but for the folders that stay together."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid)


def scheduler(config: Any, log: Any) -> ByFolder:
    return ByFolder(config, log)
