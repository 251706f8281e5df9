"""The codes that docs/errors.md lists: for refused requests with their status, and for jobs."""

from tests.docs.pages import sections

_ROWS = [row for section in sections("docs/errors.md") for row in section.rows()]
STATUSES = {code: int(status) for code, status, *_ in _ROWS if status}
JOB_CODES = frozenset(code for code, _, job, *_ in _ROWS if job)
