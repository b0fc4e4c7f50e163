from __future__ import annotations

from dataclasses import replace

import pytest

from generation.job import JobStatus
from service.speed import SpeedBook, expected_steps, time_until_done, work_per_step
from tests.fakes import png_of
from tests.service.values import PAINTER, a_job


def finished(seconds: float, steps: int, batch: int = 1) -> JobStatus:
    job = a_job()
    return JobStatus(job.id, steps=steps, step=steps, batch=batch, sampling_since=50.0, finished=50.0 + seconds)


def test_nothing_is_known_at_first() -> None:
    assert SpeedBook().seconds(a_job()) is None


def test_the_estimate_grows_with_steps_size_and_batches() -> None:
    speed = SpeedBook()
    speed.learn(a_job(steps=10, width=512, height=512), finished(5.0, 10))
    assert speed.seconds(a_job(steps=10)) == pytest.approx(5)
    assert speed.seconds(a_job(steps=30)) == pytest.approx(15)
    assert speed.seconds(a_job(steps=10, width=1024, height=1024)) == pytest.approx(20)
    assert speed.seconds(a_job(steps=10, batch_size=4, batch_count=2)) == pytest.approx(40)
    assert speed.seconds(a_job(steps=10, sampler="Heun")) == pytest.approx(10)


def test_img2img_runs_only_its_share_of_the_steps() -> None:
    request = a_job(steps=20, img2img={"init_images": (png_of((1, 2, 3)),), "denoising_strength": 0.25}).request
    assert expected_steps(request) == 5
    assert work_per_step(request) == pytest.approx(0.262144)


def test_each_model_has_its_own_speed_and_others_are_a_guide() -> None:
    speed = SpeedBook()
    slow = PAINTER.model_copy(update={"name": "slow"})
    speed.learn(a_job(steps=10), finished(1.0, 10))
    assert speed.seconds(a_job(steps=10, checkpoint=slow)) == pytest.approx(1)
    speed.learn(a_job(steps=10, checkpoint=slow), finished(9.0, 10))
    assert speed.seconds(a_job(steps=10, checkpoint=slow)) == pytest.approx(9)
    assert speed.seconds(a_job(steps=10)) == pytest.approx(1)


def test_one_odd_job_does_not_spoil_the_estimate() -> None:
    speed = SpeedBook()
    for seconds in (1.0, 1.0, 100.0):
        speed.learn(a_job(steps=10), finished(seconds, 10))
    assert speed.seconds(a_job(steps=10)) == pytest.approx(1)


def test_jobs_that_never_made_a_step_teach_nothing() -> None:
    speed = SpeedBook()
    speed.learn(a_job(), JobStatus(a_job().id, finished=1.0))
    speed.learn(a_job(), replace(finished(1.0, 10), step=0))
    assert speed.seconds(a_job()) is None


def test_a_running_job_is_measured_by_itself() -> None:
    speed = SpeedBook()
    status = JobStatus(a_job().id, step=5, steps=10, batch=2, batches=3, sampling_since=100.0)
    assert speed.remaining(a_job(), status, now=130.0) == pytest.approx(30)
    assert speed.remaining(a_job(), JobStatus(a_job().id), now=130.0) is None


def test_waiting_jobs_go_to_the_first_free_worker() -> None:
    running, first, second, third = (a_job() for _ in range(4))
    waiting = [(first, 10.0), (second, 1.0), (third, 5.0)]
    assert time_until_done(first, [(running, 3.0)], waiting, workers=1) == 13
    assert time_until_done(third, [(running, 3.0)], waiting, workers=1) == 19
    assert time_until_done(third, [(running, 3.0)], waiting, workers=2) == 9


def test_an_unknown_job_ahead_makes_the_time_unknown() -> None:
    running, job = a_job(), a_job()
    assert time_until_done(job, [(running, None)], [(job, 1.0)], workers=1) is None
    assert time_until_done(job, [], [(running, None), (job, 1.0)], workers=1) is None
    assert time_until_done(job, [], [(job, 1.0)], workers=0) is None
    assert time_until_done(job, [], [], workers=1) is None


def test_the_second_pass_is_estimated_by_its_own_size() -> None:
    speed = SpeedBook()
    speed.learn(a_job(steps=10, width=512, height=512), finished(5.0, 10))
    hires = a_job(steps=10, width=512, height=512, hires={"scale": 2, "denoising_strength": 0.5})
    assert speed.seconds(hires) == pytest.approx(5 + 10 * 4 * 0.5)  # ten more steps, each of four times the size
    between = JobStatus(hires.id, steps=20, step=10, sampling_since=50.0)
    assert speed.remaining(hires, between, 55.0) == pytest.approx(20)
    again = SpeedBook()
    again.learn(hires, finished(25.0, 20))
    assert again.seconds(a_job(steps=10, width=512, height=512)) == pytest.approx(5)
