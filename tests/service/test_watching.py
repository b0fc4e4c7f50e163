from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from generation.job import Job, JobChannel, JobState, JobStatus, Previewed, Stepped
from service.job_queue import JobQueue
from service.preferences import Preferences
from tests.fakes import PATIENCE, FakeWorker, preview_of
from tests.service.values import a_submission


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker()


@pytest.fixture
def queue(worker: FakeWorker) -> Iterator[JobQueue]:
    queue = JobQueue({"fake": worker})
    yield queue
    queue.close()


class Holder:
    """A worker whose events the test decides, one by one."""

    name = "holder"

    def __init__(self) -> None:
        self.channel: JobChannel | None = None
        self.has_begun = threading.Event()
        self.may_end = threading.Event()

    def generate(self, job: Job, channel: JobChannel) -> None:
        self.channel = channel
        self.has_begun.set()
        assert self.may_end.wait(PATIENCE)

    def close(self) -> None: ...


@pytest.fixture
def holder():
    return Holder()


@pytest.fixture
def held_queue(holder: Holder):
    queue = JobQueue({"holder": lambda: holder})
    yield queue
    holder.may_end.set()
    queue.close()


def begun(queue: JobQueue, holder: Holder, **changes: object) -> tuple[str, JobChannel]:
    job = queue.put(a_submission(**changes))
    assert holder.has_begun.wait(PATIENCE)
    assert holder.channel is not None
    return job, holder.channel


@pytest.mark.anyio
async def test_a_slow_viewer_skips_what_is_old_but_sees_the_end(held_queue: JobQueue, holder: Holder) -> None:
    job, channel = begun(held_queue, holder)
    seen: list[JobStatus] = []
    async with aclosing(held_queue.known.watch(job, heartbeat=PATIENCE)) as statuses:
        seen.append(await anext(statuses))
        for step in range(1, 61):  # the viewer looks away for 60 previews
            channel.emit(Stepped(step, 60))
            channel.emit(Previewed(preview_of(step)))
        seen.append(await anext(statuses))
        holder.may_end.set()
        held_queue.known.wait(job, timeout=PATIENCE)
        seen += [status async for status in statuses]
    assert [status.step for status in seen] == [0, 60, 60]
    assert seen[1].preview is not None
    assert seen[1].preview.step == 60
    assert [status.state for status in seen] == [JobState.RUNNING, JobState.RUNNING, JobState.DONE]


@pytest.mark.anyio
async def test_a_viewer_is_told_of_each_change_once(held_queue: JobQueue, holder: Holder) -> None:
    job, channel = begun(held_queue, holder)
    async with aclosing(held_queue.known.watch(job, heartbeat=PATIENCE)) as statuses:
        await anext(statuses)
        channel.emit(Stepped(1, 9))
        assert (await anext(statuses)).step == 1
        following = asyncio.ensure_future(anext(statuses))
        for _ in range(10):  # turns of the loop
            await asyncio.sleep(0)
        assert not following.done()
        channel.emit(Stepped(2, 9))
        assert (await following).step == 2


@pytest.mark.anyio
async def test_a_silent_job_is_heard_of_at_every_heartbeat(held_queue: JobQueue, holder: Holder) -> None:
    job, _ = begun(held_queue, holder)
    async with aclosing(held_queue.known.watch(job, heartbeat=0.001)) as statuses:
        versions = [(await anext(statuses)).version for _ in range(5)]
    assert len(set(versions)) == 1


@pytest.mark.anyio
async def test_watching_a_finished_job_yields_once(queue: JobQueue) -> None:
    job = queue.put(a_submission())
    await queue.known.result(job)
    assert [status.state async for status in queue.known.watch(job)] == [JobState.DONE]


@pytest.mark.anyio
async def test_result_waits_for_the_end_and_is_no_viewer(held_queue: JobQueue, holder: Holder) -> None:
    job, channel = begun(held_queue, holder)
    waiting = asyncio.create_task(held_queue.known.result(job))
    await asyncio.sleep(0)
    assert not channel.is_watched()
    holder.may_end.set()
    assert (await waiting).state is JobState.DONE


def test_viewers_on_many_loops_all_see_the_end(queue: JobQueue, worker: FakeWorker) -> None:
    gate = worker.hold_at(1)
    job = queue.put(a_submission(steps=20))
    gate.wait_until_reached()
    ends: list[JobState] = []
    watching = threading.Barrier(6)

    async def watch() -> None:
        async for status in queue.known.watch(job):
            if status.step == 1:
                await asyncio.to_thread(watching.wait, PATIENCE)
        ends.append(status.state)

    threads = [threading.Thread(target=lambda: asyncio.run(watch())) for _ in range(5)]
    for thread in threads:
        thread.start()
    watching.wait(PATIENCE)
    gate.open()
    for thread in threads:
        thread.join(PATIENCE)
    assert ends == [JobState.DONE] * 5


def test_a_loop_that_closes_while_watching_harms_nobody(held_queue: JobQueue, holder: Holder) -> None:
    job, channel = begun(held_queue, holder)
    loop = asyncio.new_event_loop()
    statuses = held_queue.known.watch(job)
    loop.run_until_complete(anext(statuses))
    loop.close()  # the viewer is still registered, its loop is gone
    channel.emit(Stepped(1, 2))
    holder.may_end.set()
    assert held_queue.known.wait(job, timeout=PATIENCE).state is JobState.DONE
    other = asyncio.new_event_loop()
    other.run_until_complete(statuses.aclose())
    other.close()


@pytest.mark.anyio
async def test_somebody_watches_only_while_the_watch_is_open(held_queue: JobQueue, holder: Holder) -> None:
    job, channel = begun(held_queue, holder)
    assert not channel.is_watched()
    async with aclosing(held_queue.known.watch(job)) as first, aclosing(held_queue.known.watch(job)) as second:
        await anext(first)
        await anext(second)
        assert channel.is_watched()
        await first.aclose()
        assert channel.is_watched()
    assert not channel.is_watched()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_looking_counts_as_watching_for_five_seconds(holder: Holder) -> None:
    clock = Clock()
    queue = JobQueue({"holder": lambda: holder}, monotonic=clock)
    job, channel = begun(queue, holder)
    assert not channel.is_watched()
    assert queue.known.look(job) is None
    clock.now += 4.9
    assert channel.is_watched()
    clock.now += 0.2
    assert not channel.is_watched()
    holder.may_end.set()
    queue.close()


def test_previews_keep_the_interval_of_the_preferences(holder: Holder) -> None:
    clock = Clock()
    queue = JobQueue({"holder": lambda: holder}, monotonic=clock)
    submission = replace(a_submission(), preferences=Preferences(preview_interval=2))
    queue.put(submission)
    assert holder.has_begun.wait(PATIENCE)
    channel = holder.channel
    assert channel is not None
    queue.known.look(submission.job.id)
    assert channel.is_watched()
    channel.emit(Previewed(preview_of(1)))
    assert not channel.is_watched()
    clock.now += 2
    assert channel.is_watched()
    preview = queue.known.look(submission.job.id)
    assert preview is not None
    assert preview.step == 1
    holder.may_end.set()
    queue.close()


def test_without_live_previews_nobody_ever_watches(held_queue: JobQueue, holder: Holder) -> None:
    submission = replace(a_submission(), preferences=Preferences(live_previews=False))
    held_queue.put(submission)
    assert holder.has_begun.wait(PATIENCE)
    assert holder.channel is not None
    held_queue.known.look(submission.job.id)
    assert not holder.channel.is_watched()
