"""First in, first out: jobs, the threads that work on them, and what is known of each job.

One thread per worker. The thread builds its worker, is the only one that ever calls it, and survives any job.
A single short lock guards all state; nothing polls.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from generation.errors import InvalidRequest, QueueFull
from generation.job import (
    Event,
    Held,
    JobChannel,
    JobId,
    JobState,
    JobStatus,
    Previewed,
    Released,
    Started,
    Stopped,
    Warned,
    advance,
)
from generation.request import GenerationRequest
from service.job_book import JobBook
from service.job_entry import NO_HOOKS, Entry, Hooks
from service.job_log import log_outcome, log_queued, logged
from service.limits import DEFAULT_LIMITS, Limits
from service.queue_journal import Journal, NoJournal
from service.submission import Submission
from service.waiting_line import Move
from service.worker import WorkerFactory
from service.worker_thread import Assignment, start_worker_thread

log = logging.getLogger(__name__)

LOOK_LASTS = 5.0  # seconds for which fetching a preview counts as watching


class JobQueue:
    """The jobs of this server; `known` answers questions about them. All methods may be called from any thread."""

    def __init__(
        self,
        worker_factories: Mapping[str, WorkerFactory],
        *,
        limits: Limits = DEFAULT_LIMITS,
        hooks: Hooks = NO_HOOKS,
        journal: Journal | None = None,
        restored: Iterable[tuple[Submission, str]] = (),
        is_paused: bool = False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._hooks = hooks
        self._journal: Journal = journal or NoJournal()
        self._clock = clock
        self._monotonic = monotonic
        self.known = JobBook(monotonic)
        self._lock = self.known.lock
        self._waiting = self.known.waiting
        self._running = self.known.running
        self._waiting.is_paused = is_paused
        self._closing = False
        for submission, held in restored:
            self._admit(submission, held=held)
        self._threads = [
            start_worker_thread(name, factory, self._take) for name, factory in worker_factories.items()
        ]

    # Jobs in

    def put(self, submission: Submission, *, front: bool = False) -> JobId:
        """Queue a job and return its id. The same request under the same id again changes nothing.

        Raises InvalidRequest if the id is taken by another request, QueueFull with the numbers.
        """
        job = submission.job
        prepared = self._journal.prepared(submission)
        with self._lock:
            if self.has_same(job.id, job.owner, submission.asked):
                return job.id
            self._check_room(job.owner)
            self._journal.added(job.id, prepared, front=front)
            self._admit(submission, front=front)
            log_queued(job, len(self._waiting))
            self._lock.notify_all()
        return job.id

    def _admit(self, submission: Submission, *, front: bool = False, held: str = "") -> None:
        job = submission.job
        entry = Entry(submission, JobStatus(job.id, created=job.created, held=held))
        for warning in submission.warnings:
            entry.status = advance(entry.status, Warned(warning), self._clock())
        self.known.entries[job.id] = entry
        self._waiting.add(entry, front=front)

    def has_same(self, job_id: str, owner: str, asked: GenerationRequest) -> bool:
        """True if this very request is known under this id. Raises InvalidRequest if another one is."""
        with self._lock:
            known = self.known.entries.get(JobId(job_id))
        if known is None:
            return False
        if known.job.owner == owner and known.submission.asked == asked:
            return True
        raise InvalidRequest(f"The job id {job_id!r} is already taken.", "Choose another or none.", "id")

    def _check_room(self, owner: str) -> None:
        if self._closing:
            raise QueueFull("The server is shutting down.", "Try again when it is back.")
        length, most = len(self._waiting), self._limits.max_queue_length
        hint = "Try again when some of them are done."
        if length >= most:
            raise QueueFull(f"{length} jobs are waiting, and no more than {most} may.", hint)
        theirs, most = sum(entry.job.owner == owner for entry in self._waiting), self._limits.max_queue_per_owner
        if theirs >= most:
            raise QueueFull(f"{theirs} of your jobs are waiting, and no more than {most} may.", hint)

    # The order of things

    @property
    def is_paused(self) -> bool:
        """True while no further jobs are taken."""
        return self._waiting.is_paused

    def pause(self, is_paused: bool = True) -> None:
        """Take no further jobs, or (False) go on. A running job runs to its end."""
        with self._lock:
            self._waiting.is_paused = is_paused
            self._journal.paused(is_paused)
            self._lock.notify_all()

    def hold(self, job_id: str, reason: str, owner: str | None = None) -> None:
        """A waiting job lets the others pass until it is released. Raises InvalidRequest if it does not wait."""
        self._change_waiting(job_id, owner, Held(reason), reason)

    def release(self, job_id: str, owner: str | None = None) -> None:
        """A held job waits for its turn again. Raises InvalidRequest if it does not wait."""
        self._change_waiting(job_id, owner, Released(), "")

    def _change_waiting(self, job_id: str, owner: str | None, event: Event, held: str) -> None:
        with self._lock:
            entry = self._waiting_entry(job_id, owner)
            self._publish(entry, event)
            self._journal.held(entry.job.id, held)
            self._lock.notify_all()

    def move(self, job_id: str, to: Move, owner: str | None = None) -> None:
        """Change a waiting job's place; with an owner, only among that owner's jobs. Raises InvalidRequest."""
        with self._lock:
            self._waiting.move(self._waiting_entry(job_id, owner), to, owner)
            self._journal.ordered([entry.job.id for entry in self._waiting])

    def _waiting_entry(self, job_id: str, owner: str | None) -> Entry:
        entry = self.known.entry(job_id, owner)
        if entry not in self._waiting:
            raise InvalidRequest(f"The job {job_id!r} is {entry.status.state}, it does not wait.", "", "id")
        return entry

    # Jobs out

    def stop(self, job_id: str, *, keep: bool = True, owner: str | None = None) -> None:
        """A waiting job stops at once, a running one after its step. A finished job stays as it is."""
        with self._lock:
            self._stop(self.known.entry(job_id, owner), keep)

    def stop_all(self, *, keep: bool = True, owner: str | None = None) -> int:
        """Stop all waiting and running jobs (of one owner); how many there were."""
        with self._lock:
            entries = [*self._waiting, *self._running]
            chosen = [entry for entry in entries if owner is None or entry.job.owner == owner]
            for entry in chosen:
                self._stop(entry, keep)
            return len(chosen)

    def _stop(self, entry: Entry, keep: bool) -> None:
        entry.stop.now(keep=keep)
        if entry in self._waiting:
            self._waiting.remove(entry)
            self._publish(entry, Stopped())
            if not self._closing:
                self._journal.done(entry.job.id)

    def skip(self, job_id: str, owner: str | None = None) -> None:
        """The running batch of the job ends with what is there; the job goes on with the next one."""
        entry = self.known.entry(job_id, owner)
        if entry.status.state is JobState.RUNNING:
            entry.stop.skip_batch()

    def close(self, timeout: float = 10.0) -> None:
        """Stop everything and wait for the threads, `timeout` seconds at most."""
        with self._lock:
            self._closing = True
            self.stop_all(keep=False)
            self._lock.notify_all()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                log.warning("%s is still busy; it is left behind.", thread.name)

    @property
    def worker_count(self) -> int:
        """How many jobs can run at the same time."""
        return len(self._threads)

    # Between the queue and its threads

    def _take(self) -> Assignment | None:
        """The next job, as soon as there is one; None when the queue closes."""
        with self._lock:
            self._lock.wait_for(lambda: self._closing or self._waiting.has_next())
            if self._closing:
                return None
            entry = self._waiting.take()
            self._running.append(entry)
            self._publish(entry, Started())
        self._journal.taken(entry.job.id)
        with logged(f"preparing job {entry.job.id[:8]}"):
            entry.submission = self._hooks.starting(entry.submission)
        return Assignment(
            job=entry.job,
            channel=JobChannel(partial(self._emit, entry), entry.stop, partial(self._is_watched, entry)),
            was_cut_short=entry.was_cut_short,
            settle=partial(self._settle, entry),
        )

    def _emit(self, entry: Entry, event: Event) -> None:
        for translated in self._hooks.translate(entry.submission, entry.status, event):
            self._publish(entry, translated)

    def _settle(self, entry: Entry, outcome: Event) -> None:
        with self._lock:
            self._running.remove(entry)
            self._publish(entry, outcome)
        log_outcome(entry.job, entry.status)
        if not (self._closing and entry.status.state is JobState.STOPPED):
            self._journal.done(entry.job.id)
        with logged(f"after job {entry.job.id[:8]}"):
            self._hooks.settled(entry.job, entry.status)

    def _publish(self, entry: Entry, event: Event) -> None:
        with self._lock:
            if entry.status.state.is_final:
                return
            entry.status = advance(entry.status, event, self._clock())
            if isinstance(event, Previewed):
                entry.previewed = self._monotonic()
            if entry.status.state.is_final:
                self.known.finish(entry)
                self._lock.notify_all()
            entry.audience.wake(is_final=entry.status.state.is_final)

    def _is_watched(self, entry: Entry) -> bool:
        """True if somebody would see a preview, and enough time has passed since the last one."""
        preferences = entry.submission.preferences
        with self._lock:
            now = self._monotonic()
            is_due = preferences.live_previews and now - entry.previewed >= preferences.preview_interval
            return is_due and (entry.audience.has_viewers or now - entry.looked < LOOK_LASTS)
