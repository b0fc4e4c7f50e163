from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.errors import InvalidRequest, OutOfMemory, QueueFull, UnknownJob
from generation.job import (
    Event,
    Failed,
    Finished,
    JobError,
    JobState,
    JobStatus,
    Phase,
    PhaseChanged,
    Previewed,
    Produced,
    Started,
    Stepped,
    Stopped,
    Warned,
    advance,
)
from generation.request import make_request
from service.job_book import KEPT_JOBS
from service.job_entry import Hooks
from service.job_queue import JobQueue
from service.limits import Limits
from service.submission import Submission
from tests.fakes import PATIENCE, FakeWorker, preview_of
from tests.service.values import a_job, a_submission, an_image


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker()


@pytest.fixture
def queue(worker: FakeWorker):
    queue = JobQueue({"fake": worker})
    yield queue
    queue.close()


def finish(queue: JobQueue, *ids: str) -> list[JobStatus]:
    statuses = [queue.known.wait(job_id, timeout=PATIENCE) for job_id in ids]
    assert all(status.state.is_final for status in statuses)
    return statuses


def test_a_job_runs_and_its_pictures_arrive(queue: JobQueue) -> None:
    (status,) = finish(queue, queue.put(a_submission(batch_size=2, batch_count=3, seed=5)))
    assert status.state is JobState.DONE
    assert [image.seed for image in status.images] == [5, 6, 7, 8, 9, 10]
    assert status.started is not None
    assert status.finished is not None
    assert status.created <= status.finished


def test_jobs_run_in_the_order_in_which_they_came(queue: JobQueue, worker: FakeWorker) -> None:
    ids = [queue.put(a_submission(prompt=str(number))) for number in range(5)]
    finish(queue, *ids)
    assert [job.id for job in worker.jobs] == ids


def test_a_job_put_in_front_runs_next(queue: JobQueue, worker: FakeWorker) -> None:
    gate = worker.hold_at(1)
    first, second = queue.put(a_submission()), queue.put(a_submission())
    gate.wait_until_reached()
    urgent = queue.put(a_submission(), front=True)
    gate.open()
    finish(queue, first, second, urgent)
    assert [job.id for job in worker.jobs] == [first, urgent, second]


def test_each_worker_is_used_by_exactly_one_thread() -> None:
    workers = [FakeWorker("a"), FakeWorker("b")]
    gates = [worker.hold_at(1) for worker in workers]
    queue = JobQueue({worker.name: worker for worker in workers})
    ids = [queue.put(a_submission(steps=3)) for _ in range(30)]
    for gate in gates:  # both are at work at the same time
        gate.wait_until_reached()
    for gate in gates:
        gate.open()
    finish(queue, *ids)
    queue.close()
    assert [len(worker.threads) for worker in workers] == [1, 1]
    assert workers[0].threads != workers[1].threads
    assert threading.get_ident() not in workers[0].threads | workers[1].threads
    assert Counter(job.id for worker in workers for job in worker.jobs) == Counter(ids)
    assert all(worker.is_closed for worker in workers)


def test_a_worker_is_not_built_before_the_first_job() -> None:
    built = threading.Event()

    def factory() -> FakeWorker:
        built.set()
        return FakeWorker()

    queue = JobQueue({"fake": factory})
    assert not built.is_set()
    finish(queue, queue.put(a_submission()))
    assert built.is_set()
    queue.close()


def test_a_worker_that_cannot_be_built_fails_its_job_and_is_tried_again() -> None:
    attempts = iter([OutOfMemory("No memory for the device.", "Close other programs."), None])

    def factory() -> FakeWorker:
        if (error := next(attempts)) is not None:
            raise error
        return FakeWorker()

    queue = JobQueue({"fake": factory})
    failed, done = finish(queue, queue.put(a_submission()), queue.put(a_submission()))
    assert failed.error == JobError("No memory for the device.", "Close other programs.", 507)
    assert done.state is JobState.DONE
    queue.close()


@pytest.mark.parametrize("error", [OutOfMemory("Too big.", "Smaller."), ValueError("a bug"), SystemExit(3)])
def test_a_failing_job_leaves_the_worker_alive(
    queue: JobQueue, worker: FakeWorker, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    worker.fail_with = error
    (failed,) = finish(queue, queue.put(a_submission()))
    worker.fail_with = None
    (done,) = finish(queue, queue.put(a_submission()))
    assert failed.state is JobState.ERROR
    assert failed.error == JobError.of(error, failed.id)
    assert done.state is JobState.DONE
    assert len(worker.threads) == 1
    assert ("Traceback" in caplog.text) == (not isinstance(error, OutOfMemory))


def test_a_waiting_job_that_is_stopped_never_reaches_the_worker(queue: JobQueue, worker: FakeWorker) -> None:
    gate = worker.hold_at(1)
    running, waiting = queue.put(a_submission()), queue.put(a_submission())
    gate.wait_until_reached()
    queue.stop(waiting)
    assert queue.known.status(waiting).state is JobState.STOPPED
    gate.open()
    finish(queue, running)
    assert [job.id for job in worker.jobs] == [running]


def test_a_running_job_stops_within_one_step_and_keeps_what_is_there(queue: JobQueue, worker: FakeWorker) -> None:
    gate = worker.hold_at(3)
    job = queue.put(a_submission(steps=50))
    gate.wait_until_reached()
    queue.stop(job)
    (status,) = finish(queue, job)
    assert status.state is JobState.STOPPED
    assert max(step for _, step in worker.stepped) <= 4
    assert [image.is_partial for image in status.images] == [True]


def test_a_discarded_job_has_only_the_pictures_that_were_finished(queue: JobQueue, worker: FakeWorker) -> None:
    gate = worker.hold_at(4)  # the first batch has but three steps
    worker.on_step = lambda step: setattr(gate, "step", 1) if step == 3 else None
    job = queue.put(a_submission(steps=3, batch_count=4))
    gate.wait_until_reached()
    queue.stop(job, keep=False)
    (status,) = finish(queue, job)
    assert status.state is JobState.STOPPED
    assert [image.is_partial for image in status.images] == [False]


def test_a_stop_hits_only_its_own_job() -> None:
    workers = [FakeWorker("a"), FakeWorker("b")]
    gates = [worker.hold_at(1) for worker in workers]
    queue = JobQueue({worker.name: worker for worker in workers})
    ids = [queue.put(a_submission(steps=4)) for _ in range(3)]
    for gate in gates:
        gate.wait_until_reached()
    queue.stop(ids[0])
    for gate in gates:
        gate.open()
    assert [status.state for status in finish(queue, *ids)] == [JobState.STOPPED, JobState.DONE, JobState.DONE]
    queue.close()


def test_a_stop_after_the_last_picture_changes_nothing(worker: FakeWorker) -> None:
    def stop_late(submission: Submission, status: JobStatus, event: Event) -> list[Event]:
        if isinstance(event, Produced):
            queue.stop(submission.job.id)
        return [event]

    queue = JobQueue({"fake": worker}, hooks=Hooks(translate=stop_late))
    (status,) = finish(queue, queue.put(a_submission()))
    assert status.state is JobState.DONE
    queue.close()


def test_stop_all_spares_other_owners(queue: JobQueue, worker: FakeWorker) -> None:
    gate = worker.hold_at(1)
    running = queue.put(a_submission(owner="ann"))
    gate.wait_until_reached()
    ann, bob = queue.put(a_submission(owner="ann")), queue.put(a_submission(owner="bob"))
    assert queue.stop_all(owner="ann") == 2
    states = [status.state for status in finish(queue, running, ann, bob)]
    assert states == [JobState.STOPPED, JobState.STOPPED, JobState.DONE]
    assert queue.stop_all() == 0


def test_skip_ends_one_batch_and_the_job_goes_on(queue: JobQueue, worker: FakeWorker) -> None:
    gate = worker.hold_at(2)
    job = queue.put(a_submission(steps=5, batch_count=2))
    gate.wait_until_reached()
    queue.skip(job)
    (status,) = finish(queue, job)
    assert status.state is JobState.DONE
    assert [image.is_partial for image in status.images] == [True, False]


def test_stopping_or_skipping_a_finished_job_changes_nothing(queue: JobQueue) -> None:
    job = queue.put(a_submission())
    (before,) = finish(queue, job)
    queue.stop(job)
    queue.stop(job, keep=False)
    queue.skip(job)
    assert queue.known.status(job) is before


def test_positions_count_the_jobs_that_come_first(queue: JobQueue, worker: FakeWorker) -> None:
    gate = worker.hold_at(1)
    ids = [queue.put(a_submission()) for _ in range(4)]
    gate.wait_until_reached()
    assert [queue.known.position(job) for job in ids] == [0, 0, 1, 2]
    queue.stop(ids[1])
    assert [queue.known.position(job) for job in ids] == [0, None, 0, 1]
    gate.open()
    finish(queue, *ids)
    assert [queue.known.position(job) for job in ids] == [None] * 4


def test_statuses_are_listed_running_then_waiting_then_newest_finished(
    queue: JobQueue, worker: FakeWorker
) -> None:
    old = [queue.put(a_submission()) for _ in range(2)]
    finish(queue, *old)
    gate = worker.hold_at(1)
    running, first, second = (queue.put(a_submission(owner="ann")) for _ in range(3))
    gate.wait_until_reached()
    assert [status.id for status in queue.known.statuses()] == [running, first, second, old[1], old[0]]
    assert [status.id for status in queue.known.statuses(owner="ann")] == [running, first, second]
    gate.open()


def test_a_full_queue_says_how_full(worker: FakeWorker) -> None:
    queue = JobQueue({"fake": worker}, limits=Limits(max_queue_length=3, max_queue_per_owner=2))
    gate = worker.hold_at(1)
    queue.put(a_submission(owner="ann"))
    gate.wait_until_reached()
    queue.put(a_submission(owner="ann"))
    queue.put(a_submission(owner="ann"))
    with pytest.raises(QueueFull, match="2 of your jobs are waiting, and no more than 2 may"):
        queue.put(a_submission(owner="ann"))
    queue.put(a_submission(owner="bob"))
    with pytest.raises(QueueFull, match="3 jobs are waiting, and no more than 3 may"):
        queue.put(a_submission(owner="bob"))
    queue.close()
    with pytest.raises(QueueFull, match="shutting down"):
        queue.put(a_submission())


def test_the_same_request_under_the_same_id_is_one_job(queue: JobQueue, worker: FakeWorker) -> None:
    submission = a_submission(prompt="once")
    assert queue.put(submission) == queue.put(replace(submission)) == submission.job.id
    with pytest.raises(InvalidRequest, match="already taken"):
        queue.put(replace(submission, asked=make_request(prompt="other")))
    with pytest.raises(InvalidRequest, match="already taken"):
        queue.put(replace(submission, job=replace(submission.job, owner="bob")))
    finish(queue, submission.job.id)
    assert queue.put(submission) == submission.job.id
    assert len(worker.jobs) == 1


def test_jobs_of_others_are_unknown(queue: JobQueue) -> None:
    job = queue.put(a_submission(owner="ann"))
    finish(queue, job)
    assert queue.known.status(job, "ann") is queue.known.status(job)
    calls = [
        queue.known.status,
        queue.known.position,
        queue.known.look,
        queue.known.submission,
        queue.known.watch,
        queue.known.wait,
        queue.skip,
    ]
    for call in [*calls, lambda job, owner: queue.stop(job, owner=owner)]:
        with pytest.raises(UnknownJob, match="There is no job"):
            call(job, "bob")
    with pytest.raises(UnknownJob):
        queue.known.status("never heard of")


def test_old_jobs_are_forgotten(queue: JobQueue) -> None:
    ids = [queue.put(a_submission(steps=1)) for _ in range(KEPT_JOBS + 3)]
    finish(queue, ids[-1])
    assert [status.id for status in queue.known.statuses()] == list(reversed(ids[3:]))
    with pytest.raises(UnknownJob):
        queue.known.status(ids[2])


def test_pictures_that_only_memory_holds_are_forgotten_sooner(
    worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.job_book.KEPT_BYTES", 1)
    queue = JobQueue({"fake": worker})
    ids = [queue.put(a_submission()) for _ in range(3)]
    finish(queue, ids[-1])
    assert [status.id for status in queue.known.statuses()] == [ids[-1]]
    queue.close()


def test_a_broken_hook_does_not_end_the_worker_thread(
    worker: FakeWorker, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a bug")

    queue = JobQueue({"fake": worker}, hooks=Hooks(starting=broken, settled=broken))  # type: ignore[arg-type]
    for status in finish(queue, queue.put(a_submission()), queue.put(a_submission())):
        assert status.state is JobState.DONE
    queue.close()
    assert caplog.text.count("ValueError: a bug") == 4


def test_closing_stops_the_running_job_and_ends_the_waiting_ones(worker: FakeWorker) -> None:
    queue = JobQueue({"fake": worker})
    gate = worker.hold_at(1)
    running, waiting = queue.put(a_submission(steps=1000)), queue.put(a_submission())
    gate.wait_until_reached()
    queue.close()
    assert worker.is_closed
    assert [queue.known.status(job).state for job in (running, waiting)] == [JobState.STOPPED] * 2


def test_one_line_per_job_is_logged_without_the_prompt(queue: JobQueue, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    job = queue.put(a_submission(prompt="a secret", steps=7, sampler="Euler a", schedule="Karras"))
    finish(queue, job)
    queue.close()
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "INFO"]
    assert line.startswith(f"job {job[:8]} done: painter 512x512, 7 steps Euler a Karras, ")
    assert " s, " in line
    assert line.endswith(" it/s")
    assert "secret" not in caplog.text


# The fold of events

EVENTS = st.one_of(
    st.just(Started()),
    st.builds(PhaseChanged, st.sampled_from(Phase), st.none() | st.floats(0, 1)),
    st.builds(Stepped, st.integers(1, 50), st.just(50), st.integers(1, 3), st.just(3)),
    st.builds(lambda step: Previewed(preview_of(step)), st.integers(0, 50)),
    st.just(Produced(an_image())),
    st.just(Warned("hm")),
    st.just(Finished()),
    st.just(Stopped()),
    st.just(Failed(JobError("no"))),
)


@settings(max_examples=200)
@given(st.lists(EVENTS, max_size=30))
def test_final_is_final(events: list[Event]) -> None:
    status = JobStatus(a_job().id)
    for now, event in enumerate(events):
        after = advance(status, event, float(now))
        assert 0 <= after.progress <= 1
        if status.state.is_final:
            assert after is status
        else:
            assert after.version == status.version + 1
            assert after.images[: len(status.images)] == status.images
        status = after
