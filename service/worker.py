"""The only seam between what happens and how pixels are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from generation.job import Job, JobChannel


class Worker(Protocol):
    """Makes pictures for one job at a time, on one device, always called from the same thread.

    `generate` emits PhaseChanged, Stepped, Previewed and Produced events over the channel and returns when all
    pictures are made or a stop was asked for; it raises UserError (or anything, for a bug) on failure. It never
    emits Started, Finished, Stopped or Failed: those are the queue's.
    """

    name: str

    def generate(self, job: Job, channel: JobChannel) -> None:
        """Make the job's pictures."""
        ...

    def close(self) -> None:
        """Free the device."""
        ...


WorkerFactory = Callable[[], Worker]
