from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from generation.job import JobState
from generation.lora_use import LoraUse
from generation.request import make_request
from service.preferences import InterruptedJobs, Preferences, PreferenceStore
from service.queue_journal import (
    INTERRUPTED,
    QueueJournal,
    open_journal,
    submission_from_json,
    submission_json,
    take_over,
)
from service.services import Services, build_services
from service.submission import Submission
from tests.fakes import PATIENCE, FakeWorker, png_of
from tests.service.values import PAINTER, a_job, a_submission

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[QueueJournal]:
    opened = open_journal(tmp_path)
    assert opened is not None
    yield opened
    opened.close()


def write(journal: QueueJournal, submission: Submission, *, front: bool = False) -> None:
    journal.added(submission.job.id, journal.prepared(submission), front=front)


def waiting(journal: QueueJournal) -> list[str]:
    return [submission.job.id for submission, _ in take_over(journal, InterruptedJobs.FRONT)]


def test_every_part_of_a_submission_survives() -> None:
    picture = {"init_images": (png_of((1, 2, 3)), b"\x00\xff"), "inpaint": {"mask": png_of((9, 9, 9))}}
    vae = PAINTER.model_copy(update={"name": "v"})
    job = a_job(owner="ann", prompt="ü", extras={"x": [1, None]}, img2img=picture, noise_source="NV")
    loras = (LoraUse(Path("/l.safetensors"), 0.5, -1.0, 4, "l", "abc"), LoraUse(Path("/m.pt")))
    job = type(job)(job.id, job.request, job.checkpoint, vae, job.owner, 12.5, 256, loras)
    asked = make_request(prompt="ü", img2img=picture)
    submission = Submission(job, asked, Preferences(clip_skip=2, file_name_pattern="x"), ("careful",))
    again = submission_from_json(submission_json(submission))
    assert again == submission
    assert again.asked.model_fields_set == asked.model_fields_set


def test_jobs_written_down_before_there_were_loras_come_back() -> None:
    values = json.loads(submission_json(a_submission()))
    del values["loras"]
    assert submission_from_json(json.dumps(values)).job.loras == ()


def test_jobs_come_back_in_their_order(journal: QueueJournal) -> None:
    a, b, c, d = (a_submission() for _ in range(4))
    for submission in (a, b, c):
        write(journal, submission)
    write(journal, d, front=True)
    journal.done(b.job.id)
    assert waiting(journal) == [d.job.id, a.job.id, c.job.id]
    journal.ordered([c.job.id, a.job.id, d.job.id])
    assert waiting(journal) == [c.job.id, a.job.id, d.job.id]


def test_an_interrupted_job_is_held_by_default(journal: QueueJournal) -> None:
    first, second = a_submission(), a_submission()
    write(journal, first)
    write(journal, second)
    journal.taken(second.job.id)
    (interrupted, why), (other, free) = take_over(journal, InterruptedJobs.HOLD)
    assert (interrupted.job.id, why) == (second.job.id, INTERRUPTED)
    assert interrupted.warnings == (INTERRUPTED,)
    assert (other.job.id, free) == (first.job.id, "")
    (_, why), _ = take_over(journal, InterruptedJobs.FRONT)  # the program ended again before it was released
    assert why == INTERRUPTED
    journal.held(second.job.id, "")
    assert [why for _, why in take_over(journal, InterruptedJobs.HOLD)] == ["", ""]


def test_an_interrupted_job_may_come_first(journal: QueueJournal) -> None:
    first, second = a_submission(), a_submission()
    write(journal, first)
    write(journal, second)
    journal.taken(second.job.id)
    taken_over = take_over(journal, InterruptedJobs.FRONT)
    assert [(submission.job.id, why) for submission, why in taken_over] == [
        (second.job.id, ""),
        (first.job.id, ""),
    ]
    assert taken_over[0][0].warnings == (INTERRUPTED,)


def test_only_one_program_at_a_time_has_the_journal(
    journal: QueueJournal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert open_journal(tmp_path) is None
    assert "do not survive a restart" in caplog.text
    journal.close()
    again = open_journal(tmp_path)
    assert again is not None
    again.close()


def test_a_job_that_cannot_be_read_is_dropped_with_a_warning(
    journal: QueueJournal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = a_submission(), a_submission()
    for submission in (good, bad):
        write(journal, submission)
    with journal._database.write() as connection:
        connection.execute("UPDATE jobs SET submission = '{}' WHERE job_id = ?", (bad.job.id,))
    assert waiting(journal) == [good.job.id]
    assert f"{bad.job.id} of an earlier run cannot be read" in caplog.text


def test_a_broken_disk_does_not_stop_the_queue(
    journal: QueueJournal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for file in tmp_path.glob("queue.db*"):
        file.unlink()
    (tmp_path / "queue.db").mkdir()
    write(journal, a_submission())
    journal.done(a_job().id)
    assert "Waiting jobs may not survive a restart" in caplog.text


# Whole services, ended and started again

Start = Callable[..., tuple[Services, FakeWorker]]


@pytest.fixture
def start(tmp_path: Path, models_dir: Path) -> Iterator[Start]:
    started: list[Services] = []

    def start_services() -> tuple[Services, FakeWorker]:
        worker = FakeWorker()
        services = build_services(
            worker_factories={"fake": worker},
            models_dirs=[models_dir],
            outputs_dir=tmp_path / "outputs",
            data_dir=tmp_path / "data",
            keep_queue=True,
        )
        started.append(services)
        return services, worker

    yield start_services
    for services in started:
        services.close()


def test_waiting_jobs_survive_an_orderly_end(start: Start) -> None:
    services, worker = start()
    done = services.generation.submit(make_request(prompt="done"))
    services.generation.wait(done, timeout=PATIENCE)
    gate = worker.hold_at(1)
    running = services.generation.submit(make_request(prompt="running", steps=50), owner="ann", job_id="mine")
    gate.wait_until_reached()
    first, second = (services.generation.submit(make_request(prompt=name)) for name in ("first", "second"))
    cancelled = services.generation.submit(make_request(prompt="cancelled"))
    services.generation.stop(cancelled)
    services.close()

    services, worker = start()
    for job in (first, second):
        assert services.generation.wait(job, timeout=PATIENCE).state is JobState.DONE
    assert [job.request.prompt for job in worker.jobs] == ["first", "second"]
    status = services.generation.status(running)
    assert (status.state, status.held, status.warnings) == (JobState.QUEUED, INTERRUPTED, (INTERRUPTED,))
    assert (
        services.generation.submit(make_request(prompt="running", steps=50), owner="ann", job_id="mine") == running
    )
    services.generation.release(running)
    assert services.generation.wait(running, timeout=PATIENCE).state is JobState.DONE
    assert {row.prompt for row in services.history.recent()} == {"done", "running", "first", "second"}
    services.close()

    services, worker = start()
    assert services.generation.jobs() == []


def test_a_paused_queue_is_paused_after_a_restart(start: Start) -> None:
    services, _ = start()
    services.generation.pause()
    job = services.generation.submit(make_request())
    services.close()
    services, _ = start()
    assert services.generation.is_paused
    assert services.generation.status(job).state is JobState.QUEUED
    services.generation.resume()
    assert services.generation.wait(job, timeout=PATIENCE).state is JobState.DONE


KILLED = """
import os, sys
from pathlib import Path
from generation.request import make_request
from service.services import build_services
from tests.fakes import FakeWorker

folder = Path(sys.argv[1])
worker = FakeWorker()
gate = worker.hold_at(2)
services = build_services(
    worker_factories={"fake": worker}, models_dirs=[folder / "models"], outputs_dir=folder / "outputs",
    data_dir=folder / "data", keep_queue=True,
)
for name in ("interrupted", "next", "last"):
    services.generation.submit(make_request(prompt=name), job_id=name)
gate.wait_until_reached()
print("in mid-job", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_the_queue_survives_kill_9_in_mid_job(start: Start, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "in mid-job\n"
        os.kill(killed.pid, signal.SIGKILL)
    PreferenceStore(tmp_path / "data/preferences.json").update(interrupted_jobs="front")
    services, worker = start()
    for name in ("interrupted", "next", "last"):
        assert services.generation.wait(name, timeout=PATIENCE).state is JobState.DONE
    assert [job.request.prompt for job in worker.jobs] == ["interrupted", "next", "last"]
    assert services.generation.status("interrupted").warnings == (INTERRUPTED,)
