"""Clients that do not give up: each sends with a key until it is answered, some cancel, some send the same again."""

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Event, Thread

import httpx2

from tests.chaos.ledger import Ledger
from tests.chaos.workload import Asked

MOST_OPEN = 9
"""Accepted jobs that have not ended; clients wait where there are more."""
RETRY_SECONDS = 0.3
LOOK_SECONDS = 0.4
PASSES = frozenset({408, 429, 500, 502, 503, 504})
TERMINAL = frozenset({"succeeded", "failed", "cancelled"})

Announce = Callable[[str, str], None]
"""Takes a point of `faults.py` and a job's id, directly after the point was reached."""


class Clients:
    """Sends the jobs of a run, and looks at those that were accepted until they have ended."""

    def __init__(self, url: str, asked: list[Asked], ledger: Ledger, announce: Announce, threads: int = 4) -> None:
        self._http = httpx2.Client(base_url=url, timeout=15.0, trust_env=False)
        self._ledger, self._announce = ledger, announce
        self._asked: SimpleQueue[Asked] = SimpleQueue()
        for job in asked:
            self._asked.put(job)
        self._over = Event()
        self._sending = [Thread(target=self._send_all, name=f"client-{n}") for n in range(threads)]
        self._looking = Thread(target=self._look, name="poller")

    def start(self) -> None:
        for thread in (*self._sending, self._looking):
            thread.start()

    def sent(self) -> bool:
        """Whether every job was answered, and every client has done what it is in the habit of."""
        return not any(thread.is_alive() for thread in self._sending)

    def stop(self) -> None:
        self._over.set()
        for thread in (*self._sending, self._looking):
            thread.join()
        self._http.close()

    def _send_all(self) -> None:
        while not self._over.is_set():
            try:
                asked = self._asked.get_nowait()
            except Empty:
                return
            with self._ledger.moved:
                self._ledger.moved.wait_for(self._may_send, timeout=60)
            self._serve(asked)

    def _may_send(self) -> bool:
        return len(self._ledger.accepted) - len(self._ledger.ended) < MOST_OPEN or self._over.is_set()

    def _serve(self, asked: Asked) -> None:
        job_id = self._submit(asked)
        if job_id is None:
            return
        if asked.habit == "repeats":
            self._over.wait(asked.pause_seconds)
            self._submit(asked)
        elif asked.habit == "cancels":
            self._over.wait(asked.pause_seconds)
            if self._insist("POST", f"/jobs/{job_id}/cancel") is not None:
                with self._ledger.lock:
                    self._ledger.cancelled.add(job_id)
                self._announce("cancelled", job_id)

    def _submit(self, asked: Asked) -> str | None:
        answer = self._insist("POST", "/grow", json=asked.body, headers={"Idempotency-Key": asked.key})
        if answer is None:
            return None
        if answer.status_code != 202:
            self._ledger.refuse(asked, str(answer.json()["code"]))
            return None
        job_id = str(answer.json()["id"])
        self._ledger.accept(asked, job_id)
        self._announce("accepted", job_id)
        return job_id

    def _insist(self, method: str, path: str, **options: object) -> httpx2.Response | None:
        """The first answer that does not ask to come back; None where the run is over before."""
        while not self._over.is_set():
            try:
                answer = self._http.request(method, path, **options)  # type: ignore[arg-type]
                if answer.status_code not in PASSES:
                    return answer
                if answer.status_code == 500:
                    self._ledger.violate(f"{method} {path} was answered with 500: {answer.text}")
            except httpx2.TransportError:
                pass
            self._over.wait(RETRY_SECONDS)
        return None

    def _look(self) -> None:
        while not self._over.is_set():
            for job_id in self._ledger.open_jobs():
                job = self._job(job_id)
                if job is not None and job["status"] in TERMINAL:
                    self._ledger.end(job)
            time.sleep(LOOK_SECONDS)

    def _job(self, job_id: str) -> dict[str, object] | None:
        try:
            answer = self._http.get(f"/jobs/{job_id}")
        except httpx2.TransportError:
            return None
        if answer.status_code == 404:
            self._ledger.violate(f"{job_id} was accepted, and is not found")
        return answer.json() if answer.is_success else None
