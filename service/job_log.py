"""What the log says about jobs: one line each; prompts only at DEBUG."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from generation.job import Job, JobState, JobStatus
from generation.sampler_info import AUTOMATIC

log = logging.getLogger(__name__)

current_job: ContextVar[str] = ContextVar("current_job", default="")


class JobIdFilter(logging.Filter):
    """Gives every record a `job` attribute: the first digits of the job its thread works on, or "-"."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.job = current_job.get()[:8] or "-"
        return True


def log_queued(job: Job, waiting: int) -> None:
    """At DEBUG only, as it holds the prompt."""
    log.debug("job %s queued (%d waiting): %r", job.id[:8], waiting, job.request.prompt)


def log_outcome(job: Job, status: JobStatus) -> None:
    """One INFO line: model, size, steps, sampler, seconds, iterations per second."""
    seconds = (status.finished or 0.0) - (status.started or status.finished or 0.0)
    line = "job %s %s: %s, %.1f s"
    values: list[object] = [job.id[:8], status.state.value, _description(job), seconds]
    if status.steps and status.sampling_since is not None and status.finished is not None:
        steps = (status.batch - 1) * status.steps + status.step
        sampling = max(status.finished - status.sampling_since, 1e-6)
        line += ", %.1f it/s"
        values.append(steps / sampling)
    if status.state is JobState.ERROR and status.error is not None:
        line += ": %s"
        values.append(status.error.message)
    log.info(line, *values)


@contextmanager
def logged(doing: str) -> Iterator[None]:
    """A bug of ours in here is logged and must not end the worker's thread."""
    try:
        yield
    except Exception:
        log.exception("Something broke while %s", doing)


def _description(job: Job) -> str:
    request = job.request
    batches = f"{request.batch_count}x{request.batch_size} of " if request.image_count > 1 else ""
    schedule = "" if request.schedule == AUTOMATIC else f" {request.schedule}"
    size = f"{request.width}x{request.height}"
    return f"{job.checkpoint.name} {batches}{size}, {request.steps} steps {request.sampler}{schedule}"
