"""What is known of all jobs: waiting, running and recently finished ones."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable

from generation.errors import UnknownJob
from generation.job import Job, JobId, JobStatus, Preview
from service.job_entry import Entry
from service.submission import Submission
from service.waiting_line import WaitingLine

HEARTBEAT = 1.0  # seconds after which a viewer hears again, so that a viewer who left is noticed
KEPT_JOBS = 100
KEPT_BYTES = 512 * 2**20  # of pictures in memory, in finished jobs


class JobBook:
    """Answers questions about jobs; the queue writes into it. All public methods are thread-safe.

    `lock` guards everything in here and in the queue; it is notified of every end of a job.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.lock = threading.Condition(threading.RLock())
        self.entries: dict[JobId, Entry] = {}
        self.waiting = WaitingLine()
        self.running: list[Entry] = []
        self._finished: deque[Entry] = deque()
        self._monotonic = monotonic

    def entry(self, job_id: str, owner: str | None = None) -> Entry:
        """The entry of a job that this owner may see. Raises UnknownJob."""
        with self.lock:
            entry = self.entries.get(JobId(job_id))
        if entry is None or (owner is not None and entry.job.owner != owner):
            raise UnknownJob(
                f"There is no job {job_id[:140]!r}.", "It may be too long ago; look in the history.", "id"
            )
        return entry

    def submission(self, job_id: str, owner: str | None = None) -> Submission:
        """The job with its request. Raises UnknownJob."""
        return self.entry(job_id, owner).submission

    def status(self, job_id: str, owner: str | None = None) -> JobStatus:
        """What is known of the job now. Raises UnknownJob."""
        return self.entry(job_id, owner).status

    def statuses(self, owner: str | None = None) -> list[JobStatus]:
        """Running jobs, then waiting ones in order, then finished ones, newest first."""
        with self.lock:
            entries = [*self.running, *self.waiting, *reversed(self._finished)]
            return [entry.status for entry in entries if owner is None or entry.job.owner == owner]

    def snapshot(self) -> tuple[list[tuple[Job, JobStatus]], list[Job]]:
        """Running jobs with their statuses, and the waiting jobs that are not held in order, at one moment."""
        with self.lock:
            running = [(entry.job, entry.status) for entry in self.running]
            return running, [entry.job for entry in self.waiting if not entry.status.held]

    def position(self, job_id: str, owner: str | None = None) -> int | None:
        """How many waiting jobs come first; 0 also for a running job, None for a finished one."""
        with self.lock:
            entry = self.entry(job_id, owner)
            if entry in self.waiting:
                return self.waiting.position(entry)
            return None if entry.status.state.is_final else 0

    def look(self, job_id: str, owner: str | None = None) -> Preview | None:
        """The newest preview. Looking counts as watching for a few seconds, so that there will be a next one."""
        with self.lock:
            entry = self.entry(job_id, owner)
            entry.looked = self._monotonic()
            return entry.status.preview

    def watch(
        self, job_id: str, owner: str | None = None, heartbeat: float = HEARTBEAT
    ) -> AsyncGenerator[JobStatus, None]:
        """The status now, then the newest one at each change and each heartbeat; ends after the final one.

        A slow viewer misses statuses in between, never the last. Raises UnknownJob at once.
        """
        entry = self.entry(job_id, owner)
        return entry.audience.watch(lambda: entry.status, heartbeat)

    async def result(self, job_id: str, owner: str | None = None) -> JobStatus:
        """The final status, once there is one. Raises UnknownJob."""
        entry = self.entry(job_id, owner)
        return await entry.audience.result(lambda: entry.status)

    def wait(self, job_id: str, owner: str | None = None, timeout: float | None = None) -> JobStatus:
        """The status once the job is final or `timeout` seconds have passed. Blocks: not for event loops."""
        entry = self.entry(job_id, owner)
        with self.lock:
            self.lock.wait_for(lambda: entry.status.state.is_final, timeout)
            return entry.status

    def finish(self, entry: Entry) -> None:
        """Notes a finished job, and forgets the oldest: by number, and by the pictures that only memory holds."""
        self._finished.append(entry)
        held = sum(entry.bytes_held() for entry in self._finished)
        while len(self._finished) > KEPT_JOBS or (held > KEPT_BYTES and len(self._finished) > 1):
            oldest = self._finished.popleft()
            held -= oldest.bytes_held()
            del self.entries[oldest.job.id]
