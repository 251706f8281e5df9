"""What a webhook says: the end of a job or a search in short, as JSON, signed by Standard Webhooks."""

from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

from jobs.schema import Job, WebhookData, WebhookMessage
from jobs.tuning import SearchWebhookData, SearchWebhookMessage, TuneJob


def message(job: Job | TuneJob, secrets: Sequence[str]) -> tuple[bytes, dict[str, str]]:
    """Body and headers; every attempt has the same id and body."""
    assert job.finished_at is not None
    told = _of_growth(job) if isinstance(job, Job) else _of_search(job)
    body, message_id, now = told.model_dump_json(), f"msg_{job.id}", datetime.now(UTC)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "model-growth",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, now, body) for secret in secrets),
    }
    return body.encode(), headers


def _of_growth(job: Job) -> WebhookMessage:
    data = WebhookData(
        id=job.id,
        status=job.status,
        output=job.request.output,
        labels=job.request.labels,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        manifest=None if job.result is None else job.result.manifest,
        error=job.error,
    )
    return WebhookMessage.model_validate({"type": f"job.{job.status}", "timestamp": job.finished_at, "data": data})


def _of_search(job: TuneJob) -> SearchWebhookMessage:
    data = SearchWebhookData(
        id=job.id,
        status=job.status,
        labels=job.request.labels,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        best=None if job.result is None else job.result.best,
        error=job.error,
    )
    return SearchWebhookMessage.model_validate(
        {"type": f"search.{job.status}", "timestamp": job.finished_at, "data": data}
    )
