from __future__ import annotations

from collections.abc import Iterator

import pytest

from generation.errors import InvalidRequest, UnknownJob
from generation.job import JobState
from generation.request import make_request
from service.job_queue import JobQueue
from service.services import Services
from service.waiting_line import Move
from tests.fakes import PATIENCE, FakeWorker
from tests.service.values import a_submission


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker()


@pytest.fixture
def queue(worker: FakeWorker) -> Iterator[JobQueue]:
    queue = JobQueue({"fake": worker})
    yield queue
    queue.close()


def finish(queue: JobQueue, *ids: str) -> None:
    assert all(queue.known.wait(job, timeout=PATIENCE).state.is_final for job in ids)


def test_a_paused_queue_ends_the_running_job_and_takes_no_other(queue: JobQueue, worker: FakeWorker) -> None:
    gate = worker.hold_at(1)
    running, waiting = queue.put(a_submission()), queue.put(a_submission())
    gate.wait_until_reached()
    queue.pause()
    assert queue.is_paused
    gate.open()
    finish(queue, running)
    assert queue.known.status(waiting).state is JobState.QUEUED
    queue.pause(False)
    finish(queue, waiting)


def test_a_waiting_job_can_be_stopped_while_the_queue_is_paused(queue: JobQueue, worker: FakeWorker) -> None:
    queue.pause()
    job = queue.put(a_submission())
    queue.stop(job)
    assert queue.known.status(job).state is JobState.STOPPED
    assert worker.jobs == []


def test_moved_jobs_run_in_their_new_order(queue: JobQueue, worker: FakeWorker) -> None:
    queue.pause()
    a, b, c = (queue.put(a_submission()) for _ in range(3))
    queue.move(c, Move.FRONT)
    queue.move(a, Move.DOWN)
    assert [queue.known.position(job) for job in (c, b, a)] == [0, 1, 2]
    queue.pause(False)
    finish(queue, a, b, c)
    assert [job.id for job in worker.jobs] == [c, b, a]


def test_a_held_job_waits_until_it_is_released(queue: JobQueue, worker: FakeWorker) -> None:
    queue.pause()
    held, other = queue.put(a_submission()), queue.put(a_submission())
    queue.hold(held, "Not now.")
    assert queue.known.status(held).held == "Not now."
    queue.pause(False)
    finish(queue, other)
    assert queue.known.status(held).state is JobState.QUEUED
    queue.release(held)
    finish(queue, held)
    assert queue.known.status(held).held == ""
    assert [job.id for job in worker.jobs] == [other, held]


def test_only_waiting_jobs_are_moved_or_held(queue: JobQueue) -> None:
    job = queue.put(a_submission(owner="ann"))
    finish(queue, job)
    for change in (lambda: queue.move(job, Move.UP), lambda: queue.hold(job, "x"), lambda: queue.release(job)):
        with pytest.raises(InvalidRequest, match="is done, it does not wait"):
            change()
    with pytest.raises(UnknownJob):
        queue.move(job, Move.UP, owner="bob")


def test_the_service_tells_of_pause_and_hold(services: Services) -> None:
    generation = services.generation
    first = generation.submit(make_request(steps=3))
    generation.wait(first, timeout=PATIENCE)
    generation.pause()
    assert generation.is_paused
    job = generation.submit(make_request())
    assert generation.eta(job) is None
    generation.resume()
    generation.wait(job, timeout=PATIENCE)
    generation.pause()
    job, last = generation.submit(make_request()), generation.submit(make_request())
    generation.hold(job)
    generation.move(last, Move.FRONT)
    generation.resume()
    generation.wait(last, timeout=PATIENCE)
    assert generation.status(job).held == "On hold."
    assert generation.eta(job) is None
    generation.release(job)
    assert generation.wait(job, timeout=PATIENCE).state is JobState.DONE


def test_a_duplicate_is_the_same_request_with_a_new_seed(services: Services) -> None:
    services.preferences.update(default_steps=5)
    asked = services.generation.submit(make_request(prompt="a cat", batch_size=2), owner="ann")
    services.preferences.update(default_steps=50)
    copy = services.generation.duplicate(asked)
    before, after = services.generation.job(asked), services.generation.job(copy)
    assert after.owner == "ann"
    assert before.request.seed != after.request.seed
    unlike = {name for name, value in after.request if value != getattr(before.request, name)}
    assert unlike == {"seed", "variation_seed"}
    fixed = services.generation.submit(make_request(seed=4, variation_seed=5))
    assert services.generation.job(services.generation.duplicate(fixed)).request.seed == 4
