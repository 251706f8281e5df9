"""What to do about an error, in a terminal's words: the service's own hint, or what the command offers for the code."""

from client.errors import GrowError, ProblemError

_BY_CODE = {
    "job_not_found": "`grow list` shows the jobs of this key.",
    "not_retryable": "`grow status JOB` shows how it stands; `grow submit` takes a request of its own.",
    "webhook_not_due": "`grow status JOB` shows whether it has ended; `--webhook` of `grow submit` names an address.",
    "unauthorized": "Give a key with --api-key or GROW_API_KEY; an operator makes one with `grow keys create`.",
    "not_loopback": "Give a key with --api-key or GROW_API_KEY; an operator makes one with `grow keys create`.",
    "scope_required": "An operator makes a key with further scopes with `grow keys create --scope`.",
    "idempotency_conflict": "Leave --idempotency-key out, or give a new one.",
    "output_exists": "Name another --output, or empty that one.",
    "source_not_found": "Look at --source: a path is taken from the folder that the command runs in.",
    "access_denied": "The credentials are those of the service, not of this terminal: ask whoever runs it.",
}


def hint_for(error: GrowError) -> str | None:
    """One or two sentences, or None where the error says it all."""
    if error.hint is not None or not isinstance(error, ProblemError):
        return error.hint
    return _BY_CODE.get(error.code)
