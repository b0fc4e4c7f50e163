"""A job, what happens to it (events), and what is known of it (status: the fold of the events)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NewType

from generation.errors import UserError
from generation.lora_use import LoraUse
from generation.model_card import ModelCard
from generation.request import GenerationRequest
from generation.result import GeneratedImage
from generation.stop import Stop

JobId = NewType("JobId", str)


class JobState(StrEnum):
    """Where a job stands. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    ERROR = "error"

    @property
    def is_final(self) -> bool:
        """True once nothing more will happen to the job."""
        return self in (JobState.DONE, JobState.STOPPED, JobState.ERROR)


class Phase(StrEnum):
    """What the worker is doing for a running job, in words for people."""

    LOADING = "loading model"
    ENCODING = "encoding"
    SAMPLING = "sampling"
    DECODING = "decoding"
    SAVING = "saving"


@dataclass(frozen=True, slots=True)
class Job:
    """One submitted request with everything resolved: seeds drawn, model looked up. Never changes."""

    id: JobId
    request: GenerationRequest
    checkpoint: ModelCard
    vae: ModelCard | None = None
    owner: str = ""
    created: float = 0.0  # seconds since the epoch
    preview_size: int = 512  # pixels, the longest side that its previews should have
    loras: tuple[LoraUse, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """A small picture of the current state; for a batch, a grid."""

    step: int
    jpeg: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed, in words for people."""

    message: str
    hint: str = ""
    status: int = 500

    @staticmethod
    def of(error: BaseException, job_id: str) -> JobError:
        """From an exception: user errors speak for themselves, anything else is a bug of ours."""
        if isinstance(error, UserError):
            return JobError(error.message, error.hint, error.status)
        hint = f"The log has the details: {type(error).__name__}."
        return JobError(f"Something broke while making this picture (job {job_id[:8]}).", hint)


# Events: facts about one job, in order.


@dataclass(frozen=True, slots=True)
class Started:
    """The worker took the job."""


@dataclass(frozen=True, slots=True)
class PhaseChanged:
    """The worker does something else now. `fraction` 0…1 where it is known (loading)."""

    phase: Phase
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class Stepped:
    """`step` of `steps` is done, in batch `batch` of `batches`; all count from 1 for people."""

    step: int
    steps: int
    batch: int = 1
    batches: int = 1


@dataclass(frozen=True, slots=True)
class Previewed:
    """There is a newer preview."""

    preview: Preview


@dataclass(frozen=True, slots=True)
class Produced:
    """One picture is finished: it is kept whatever happens to the rest of the job."""

    image: GeneratedImage


@dataclass(frozen=True, slots=True)
class Warned:
    """Something went wrong that did not stop the job: a sentence for people."""

    message: str


@dataclass(frozen=True, slots=True)
class Held:
    """The waiting job lets others pass until somebody lets it go on."""

    reason: str


@dataclass(frozen=True, slots=True)
class Released:
    """The held job waits for its turn like any other."""


@dataclass(frozen=True, slots=True)
class Finished:
    """All pictures are made."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The job was stopped by its owner; pictures produced so far stay."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The job failed; pictures produced so far stay."""

    error: JobError


Event = (
    Started
    | PhaseChanged
    | Stepped
    | Previewed
    | Produced
    | Warned
    | Held
    | Released
    | Finished
    | Stopped
    | Failed
)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What is known of a job now. `version` grows with every change; times are seconds since the epoch.

    `held` tells why a waiting job is not taken until it is released; "" = it is taken when its turn comes.
    """

    id: JobId
    state: JobState = JobState.QUEUED
    phase: Phase | None = None
    phase_fraction: float | None = None
    step: int = 0
    steps: int = 0
    batch: int = 1
    batches: int = 1
    preview: Preview | None = None
    images: tuple[GeneratedImage, ...] = ()
    warnings: tuple[str, ...] = ()
    error: JobError | None = None
    held: str = ""
    created: float = 0.0
    started: float | None = None
    sampling_since: float | None = None
    finished: float | None = None
    version: int = 0

    @property
    def progress(self) -> float:
        """Share of the sampling steps of the whole job that are done, 0…1."""
        if self.state is JobState.DONE:
            return 1.0
        total = self.steps * self.batches
        return min(1.0, ((self.batch - 1) * self.steps + self.step) / total) if total else 0.0


def advance(status: JobStatus, event: Event, now: float) -> JobStatus:
    """The status after `event` at time `now`. Pure; a final status never changes."""
    if status.state.is_final:
        return status
    return replace(_fold(status, event, now), version=status.version + 1)


def _fold(status: JobStatus, event: Event, now: float) -> JobStatus:
    match event:
        case Started():
            return replace(status, state=JobState.RUNNING, started=now)
        case PhaseChanged(phase, fraction):
            since = now if phase is Phase.SAMPLING and status.sampling_since is None else status.sampling_since
            return replace(status, phase=phase, phase_fraction=fraction, sampling_since=since)
        case Stepped(step, steps, batch, batches):
            return replace(status, step=step, steps=steps, batch=batch, batches=batches)
        case Previewed(preview):
            return replace(status, preview=preview)
        case Produced(image):
            return replace(status, images=(*status.images, image))
        case Warned(message):
            return replace(status, warnings=(*status.warnings, message))
        case Held(reason):
            return replace(status, held=reason)
        case Released():
            return replace(status, held="")
        case Failed(error):
            return replace(status, state=JobState.ERROR, error=error, finished=now, phase=None)
        case Stopped():
            return replace(status, state=JobState.STOPPED, finished=now, phase=None)
        case Finished():
            return replace(status, state=JobState.DONE, finished=now, phase=None)


@dataclass(frozen=True, slots=True)
class JobChannel:
    """A worker's line to the outside while it works on one job.

    `emit` publishes an event, `stop` is read between steps, `is_watched` tells whether a preview would be seen
    by anyone (no viewer, no cost).
    """

    emit: Callable[[Event], None]
    stop: Stop
    is_watched: Callable[[], bool]
