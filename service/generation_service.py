"""The one way in: submit requests, follow them, get their pictures, stop them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable

from generation.job import Job, JobId, JobStatus, Preview
from generation.request import GenerationRequest
from service.job_book import HEARTBEAT
from service.job_queue import JobQueue
from service.speed import SpeedBook, time_until_done
from service.submission import Resolver
from service.waiting_line import Move


class GenerationService:
    """What front doors talk to. All methods may be called from any thread; none of them blocks for long.

    `owner` None means "whoever it belongs to"; a string shows only that owner's jobs and raises UnknownJob for
    any other.
    """

    def __init__(
        self,
        queue: JobQueue,
        resolver: Resolver,
        speed: SpeedBook,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._resolver = resolver
        self._speed = speed
        self._clock = clock

    def submit(
        self, request: GenerationRequest, owner: str = "", job_id: str | None = None, front: bool = False
    ) -> JobId:
        """Queue a request and return the job's id. What the request leaves open is decided now.

        With a `job_id` of its own a client may submit the same request twice without making it twice. Raises
        UnknownName (model, VAE), InvalidRequest (limits, id), QueueFull, or UserError if there is no model.
        """
        if job_id is not None and self._queue.has_same(job_id, owner, request):
            return JobId(job_id)
        return self._queue.put(self._resolver.resolve(request, owner, job_id), front=front)

    def status(self, job_id: str, owner: str | None = None) -> JobStatus:
        """What is known of the job now. Raises UnknownJob."""
        return self._queue.known.status(job_id, owner)

    def job(self, job_id: str, owner: str | None = None) -> Job:
        """The job with its resolved request. Raises UnknownJob."""
        return self._queue.known.submission(job_id, owner).job

    def jobs(self, owner: str | None = None) -> list[JobStatus]:
        """Running jobs, then waiting ones in order, then finished ones, newest first."""
        return self._queue.known.statuses(owner)

    def running(self, owner: str | None = None) -> JobStatus | None:
        """The job that has been running longest, if any runs."""
        return next((status for status in self.jobs(owner) if status.started and not status.state.is_final), None)

    def position(self, job_id: str, owner: str | None = None) -> int | None:
        """How many waiting jobs come first: 0 = running or next, None = finished. Raises UnknownJob."""
        return self._queue.known.position(job_id, owner)

    def eta(self, job_id: str, owner: str | None = None) -> float | None:
        """Estimated seconds until the job is done, from the measured speed of recent jobs; None if not known."""
        status, job = self.status(job_id, owner), self.job(job_id, owner)
        if status.held or (self.is_paused and not status.started):
            return None
        running, waiting = self._queue.known.snapshot()
        now = self._clock()
        ahead = [(other, self._speed.remaining(other, status, now)) for other, status in running]
        for other, seconds in ahead:
            if other.id == job.id:
                return seconds
        behind = [(other, self._speed.seconds(other)) for other in waiting]
        return time_until_done(job, ahead, behind, self._queue.worker_count)

    def watch(
        self, job_id: str, owner: str | None = None, heartbeat: float = HEARTBEAT
    ) -> AsyncGenerator[JobStatus, None]:
        """`async for`: the status now, then the newest at each change and each heartbeat, last the final one.

        Counts as a viewer while it is open: close it (`aclosing`) when done early. Raises UnknownJob at once.
        """
        return self._queue.known.watch(job_id, owner, heartbeat)

    async def result(self, job_id: str, owner: str | None = None) -> JobStatus:
        """The final status, once there is one. Does not count as a viewer. Raises UnknownJob."""
        return await self._queue.known.result(job_id, owner)

    def wait(self, job_id: str, owner: str | None = None, timeout: float | None = None) -> JobStatus:
        """Blocks the calling thread until the job is final or `timeout` seconds are over; the status then."""
        return self._queue.known.wait(job_id, owner, timeout)

    def look(self, job_id: str, owner: str | None = None) -> Preview | None:
        """The newest preview; looking counts as watching for about five seconds. Raises UnknownJob."""
        return self._queue.known.look(job_id, owner)

    def stop(self, job_id: str, keep: bool = True, owner: str | None = None) -> None:
        """Stop a waiting job at once, a running one after its step; `keep` what is there or discard it."""
        self._queue.stop(job_id, keep=keep, owner=owner)

    def stop_all(self, keep: bool = True, owner: str | None = None) -> int:
        """Stop all waiting and running jobs (of one owner); how many there were."""
        return self._queue.stop_all(keep=keep, owner=owner)

    @property
    def is_paused(self) -> bool:
        """True while waiting jobs stay where they are."""
        return self._queue.is_paused

    def pause(self) -> None:
        """Let the running jobs end and take no further ones until `resume`."""
        self._queue.pause(True)

    def resume(self) -> None:
        """Take waiting jobs again."""
        self._queue.pause(False)

    def hold(self, job_id: str, owner: str | None = None) -> None:
        """A waiting job lets the others pass until it is released. Raises UnknownJob, InvalidRequest."""
        self._queue.hold(job_id, "On hold.", owner)

    def release(self, job_id: str, owner: str | None = None) -> None:
        """A held job (or one that was interrupted) waits for its turn again. Raises UnknownJob, InvalidRequest."""
        self._queue.release(job_id, owner)

    def move(self, job_id: str, to: Move, owner: str | None = None) -> None:
        """Change a waiting job's place; owners move theirs among their own. Raises UnknownJob, InvalidRequest."""
        self._queue.move(job_id, to, owner)

    def duplicate(self, job_id: str, owner: str | None = None) -> JobId:
        """Queue the job once more with everything as it was, but a new seed where none was asked for."""
        submission = self._queue.known.submission(job_id, owner)
        job, asked = submission.job, submission.asked
        request = job.request.with_changes(seed=asked.seed, variation_seed=asked.variation_seed)
        return self.submit(request, job.owner)

    def skip(self, job_id: str, owner: str | None = None) -> None:
        """End the running batch with what is there and go on with the next. Raises UnknownJob."""
        self._queue.skip(job_id, owner)

    def close(self, timeout: float = 10.0) -> None:
        """Stop all jobs and wait for the workers, `timeout` seconds at most."""
        self._queue.close(timeout)
