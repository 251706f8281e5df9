"""Plans that were made before: the same growth of the same files is planned once, whoever asks and however often.

What a plan depends on is the source's files, each at one version, and the request without what names its job. So a
source is listed for every request, and read only where one of its files, or what is asked of it, is new.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable

from jobs.schema import GrowthRequest, Plan
from storage import ObjectInfo

KEPT = 1024
"""Plans, of some kilobytes each."""
_OF_THE_JOB = {"output", "labels", "webhook", "priority", "verify"}


class Plans:
    """The plans used last; threads may share it."""

    def __init__(self) -> None:
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._lock = threading.Lock()

    def planned(self, request: GrowthRequest, files: list[ObjectInfo], plan: Callable[[], Plan]) -> Plan:
        """What `plan` returns for the request while the source has these files; what it raises is not kept."""
        key = f"{request.model_dump_json(exclude=_OF_THE_JOB)}{[(str(f.uri), f.size, f.etag) for f in files]}"
        with self._lock:
            if (known := self._plans.get(key)) is not None:
                self._plans.move_to_end(key)
                return known
        made = plan()
        with self._lock:
            self._plans[key] = made
            if len(self._plans) > KEPT:
                self._plans.popitem(last=False)
        return made
