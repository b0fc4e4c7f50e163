"""The loop of a worker's thread: the only one that ever touches the worker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from generation.job import Event, Failed, Finished, Job, JobChannel, JobError, Stopped
from service.job_log import current_job
from service.worker import Worker, WorkerFactory

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Assignment:
    """One job for one worker. `settle` takes the outcome: Finished, Stopped or Failed."""

    job: Job
    channel: JobChannel
    was_cut_short: Callable[[], bool]
    settle: Callable[[Event], None]


def start_worker_thread(
    name: str, factory: WorkerFactory, take: Callable[[], Assignment | None]
) -> threading.Thread:
    """A running thread that builds its worker when the first job comes and works until `take` returns None.

    A worker that cannot be built fails the job with the reason and is tried again at the next one.
    """
    thread = threading.Thread(target=_work, args=(factory, take), name=f"worker-{name}", daemon=True)
    thread.start()
    return thread


def _work(factory: WorkerFactory, take: Callable[[], Assignment | None]) -> None:
    worker: Worker | None = None
    while (assignment := take()) is not None:
        token = current_job.set(assignment.job.id)
        try:
            if worker is None:
                worker = factory()
            worker.generate(assignment.job, assignment.channel)
            outcome: Event = Stopped() if assignment.was_cut_short() else Finished()
        except BaseException as error:  # even a SystemExit out of some library must not end this thread
            outcome = Failed(JobError.of(error, assignment.job.id))
            if outcome.error.status == 500:
                log.exception("job %s broke", assignment.job.id[:8])
        assignment.settle(outcome)
        current_job.reset(token)
        # A local that outlives its job would keep its pictures, or the frames of its error, in memory.
        del assignment, outcome
    if worker is not None:
        worker.close()
