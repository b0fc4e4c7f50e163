"""How a running job is asked to stop: thread-safe, one object per job."""

from __future__ import annotations

import threading


class Stop:
    """A request to stop one job, set by any thread and read by the worker between steps.

    *keep* means: decode what is there and keep it (A1111's "interrupt"); otherwise it is discarded ("cancel").
    *skip* means: finish the current batch with what is there and go on with the next.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._discard = threading.Event()
        self._skip = threading.Event()

    def now(self, *, keep: bool) -> None:
        """Ask for a stop. Discarding wins over keeping when both were asked for."""
        if not keep:
            self._discard.set()
        self._stop.set()

    def skip_batch(self) -> None:
        """Ask for the current batch to end early; the job goes on with the next batch."""
        self._skip.set()

    @property
    def requested(self) -> bool:
        """True once a stop of the whole job was asked for."""
        return self._stop.is_set()

    @property
    def keep(self) -> bool:
        """True if what is there is to be kept."""
        return not self._discard.is_set()

    @property
    def ends_batch(self) -> bool:
        """True if the current batch must end now, be it for a stop or a skip."""
        return self._stop.is_set() or self._skip.is_set()

    def batch_begins(self) -> None:
        """Forget a skip that was meant for an earlier batch."""
        self._skip.clear()
