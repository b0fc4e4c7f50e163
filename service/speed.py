"""How long jobs take on this machine, learned from recent ones."""

from __future__ import annotations

import threading
from collections import deque
from statistics import median

from generation.hires import second_pass, second_pass_steps
from generation.job import Job, JobStatus
from generation.request import GenerationRequest
from generation.sampler_info import find_sampler

RECENT_JOBS = 10


class SpeedBook:
    """Seconds per unit of work, where one unit is one model call on one megapixel. Thread-safe.

    The time from the first step to the end counts, so decoding and saving are in it and loading is not.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rates: dict[str, deque[float]] = {}

    def learn(self, job: Job, status: JobStatus) -> None:
        """Remember a job that ran to some step."""
        if status.sampling_since is None or status.finished is None or not status.steps:
            return
        work = _work_done(job.request, status)
        if work <= 0:
            return
        seconds = max(status.finished - status.sampling_since, 0.0)
        with self._lock:
            rates = self._rates.setdefault(job.checkpoint.name, deque(maxlen=RECENT_JOBS))
            rates.append(seconds / work)

    def seconds(self, job: Job) -> float | None:
        """Estimate for a whole job; None as long as nothing was learned. Other models are a rough guide."""
        rate = self._rate(job.checkpoint.name)
        if rate is None:
            return None
        first = expected_steps(job.request) * work_per_step(job.request)
        return rate * job.request.batch_count * (first + _second_work(job.request))

    def remaining(self, job: Job, status: JobStatus, now: float) -> float | None:
        """Estimate for the rest of a running job, from its own speed once it has made a step."""
        done = _work_done(job.request, status)
        if status.sampling_since is not None and done:
            left = _work_of(job.request, status.steps, status.steps) * status.batches - done
            return max(left, 0) * max(now - status.sampling_since, 0.0) / done
        return self.seconds(job)

    def _rate(self, model: str) -> float | None:
        with self._lock:
            known = self._rates.get(model) or [rate for rates in self._rates.values() for rate in rates]
            return median(known) if known else None


def work_per_step(request: GenerationRequest) -> float:
    """Megapixels of one step's model calls, over the whole batch."""
    calls = 2 if find_sampler(request.sampler).second_order else 1
    return calls * request.batch_size * request.width * request.height / 1e6


def expected_steps(request: GenerationRequest) -> float:
    """Steps that will really run: img2img skips those before its denoising strength."""
    if request.img2img is None:
        return request.steps
    return max(1.0, request.steps * request.img2img.denoising_strength)


def _second_work(request: GenerationRequest) -> float:
    """Work of the second pass over one batch; its steps are of another size."""
    if request.hires is None:
        return 0.0
    return second_pass_steps(request) * work_per_step(second_pass(request, request.hires))


def _work_of(request: GenerationRequest, step: int, steps: int) -> float:
    """Work of the first `step` of a batch's `steps`, the last of which are those of the second pass."""
    second = min(second_pass_steps(request), steps)
    first = steps - second
    later = max(step - first, 0)
    share = later / second if second else 0.0
    return min(step, first) * work_per_step(request) + share * _second_work(request)


def _work_done(request: GenerationRequest, status: JobStatus) -> float:
    batches = (status.batch - 1) * _work_of(request, status.steps, status.steps)
    return batches + _work_of(request, status.step, status.steps)


def time_until_done(
    job: Job, running: list[tuple[Job, float | None]], waiting: list[tuple[Job, float | None]], workers: int
) -> float | None:
    """Seconds until the waiting `job` is done, if each job goes to the first worker that is free.

    Each list holds jobs with the seconds they still need. None if one of those that matter is not known.
    """
    free: list[float] = []
    for _, seconds in running:
        if seconds is None:
            return None
        free.append(seconds)
    free += [0.0] * (workers - len(free))
    for candidate, seconds in waiting:
        if seconds is None or not free:
            return None
        earliest = min(range(len(free)), key=free.__getitem__)
        free[earliest] += seconds
        if candidate.id == job.id:
            return free[earliest]
    return None
