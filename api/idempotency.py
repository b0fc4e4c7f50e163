"""Remembers which job a client's Idempotency-Key made, so that a repeated request makes no second one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from generation.errors import UserError
from generation.job import JobId

REMEMBERED_KEYS = 10_000


class KeyReused(UserError):
    """The same key came with another request."""

    status = 409


@dataclass
class IdempotencyKeys:
    """A bounded table from (owner, key) to the job; the oldest entries are forgotten first."""

    _jobs: OrderedDict[tuple[str, str], tuple[str, JobId]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def job(self, owner: str, key: str, digest: str, submit: Callable[[], JobId]) -> tuple[JobId, bool]:
        """The job of this key and whether it is new; `submit` is called at most once per key.

        `digest` identifies the request's content. Raises KeyReused if it differs from the first one's.
        """
        with self._lock:
            known = self._jobs.get((owner, key))
            if known is None:
                job_id = submit()
                self._jobs[owner, key] = (digest, job_id)
                while len(self._jobs) > REMEMBERED_KEYS:
                    self._jobs.popitem(last=False)
                return job_id, True
        first_digest, job_id = known
        if first_digest != digest:
            raise KeyReused(
                f"The Idempotency-Key {key!r} was used for another request.", "Use a new key.", "Idempotency-Key"
            )
        return job_id, False
