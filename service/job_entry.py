"""What the queue keeps of one job, and what it lets others do around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from generation.job import Event, Job, JobStatus
from generation.stop import Stop
from service.submission import Submission
from service.watching import Audience


@dataclass(eq=False)
class Entry:
    """One job in the queue. Changed only under the queue's lock."""

    submission: Submission
    status: JobStatus
    stop: Stop = field(default_factory=Stop)
    audience: Audience = field(default_factory=Audience)
    looked: float = float("-inf")  # monotonic seconds at which a preview was last fetched
    previewed: float = float("-inf")  # monotonic seconds at which a preview was last made

    @property
    def job(self) -> Job:
        """The job itself, which never changes."""
        return self.submission.job

    def was_cut_short(self) -> bool:
        """True if a stop took something away; one that came after the last picture did not."""
        whole = sum(not image.is_partial for image in self.status.images)
        return self.stop.requested and whole < self.job.request.image_count

    def bytes_held(self) -> int:
        """Size of the pictures, uploaded and made, that memory holds for this job."""
        uploads = self.job.request.img2img
        held = sum(len(image.png) for image in self.status.images)
        if uploads is not None:
            held += sum(len(picture) for picture in uploads.init_images)
            held += len(uploads.inpaint.mask) if uploads.inpaint else 0
        return held


def _as_submitted(submission: Submission) -> Submission:
    return submission


def _unchanged(submission: Submission, status: JobStatus, event: Event) -> Iterable[Event]:
    return (event,)


def _nothing(job: Job, status: JobStatus) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Hooks:
    """What happens around a job, on its worker's thread and outside the queue's lock.

    `starting` may bring a job up to date just before it runs. `translate` turns an event into those that are
    published instead (a picture is saved on the way). `settled` hears the final status of each job that ran.
    """

    starting: Callable[[Submission], Submission] = _as_submitted
    translate: Callable[[Submission, JobStatus, Event], Iterable[Event]] = _unchanged
    settled: Callable[[Job, JobStatus], None] = _nothing


NO_HOOKS = Hooks()
