"""The bridge from worker threads to the asyncio loops of those who follow a job."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager

from generation.job import JobStatus


class _Follower:
    """One who follows a job, on one event loop. Made on that loop; `wake` may be called from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._changed.set)
        except RuntimeError:
            return  # the loop was closed between the change and this call: nobody follows there any more

    def seen(self) -> None:
        """Forget the changes so far. Called before the status is read, so that no change is missed."""
        self._changed.clear()

    async def next_change(self, heartbeat: float | None) -> None:
        """Returns at the next change, or after `heartbeat` seconds without one (None: never)."""
        try:
            async with asyncio.timeout(heartbeat):
                await self._changed.wait()
        except TimeoutError:
            return


class Audience:
    """All who follow one job, on any number of event loops. Previews are made only while there are viewers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._viewers: set[_Follower] = set()
        self._waiters: set[_Follower] = set()

    @property
    def has_viewers(self) -> bool:
        """True while somebody watches."""
        return bool(self._viewers)

    def wake(self, *, is_final: bool) -> None:
        """Tell the viewers of a change, at the end also those who only wait for it."""
        with self._lock:
            followers = [*self._viewers, *(self._waiters if is_final else ())]
        for follower in followers:
            follower.wake()

    async def watch(self, read: Callable[[], JobStatus], heartbeat: float) -> AsyncGenerator[JobStatus, None]:
        """The newest status at each change and each heartbeat (seconds), ending after the final one."""
        with self._joined(self._viewers) as viewer:
            while True:
                viewer.seen()
                status = read()
                yield status
                if status.state.is_final:
                    return
                await viewer.next_change(heartbeat)

    async def result(self, read: Callable[[], JobStatus]) -> JobStatus:
        """The final status, once there is one."""
        with self._joined(self._waiters) as waiter:
            while not (status := read()).state.is_final:
                await waiter.next_change(None)
            return status

    @contextmanager
    def _joined(self, followers: set[_Follower]) -> Iterator[_Follower]:
        follower = _Follower()
        with self._lock:
            followers.add(follower)
        try:
            yield follower
        finally:
            with self._lock:
                followers.discard(follower)
