from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from generation.errors import StorageError, UnknownJob, UnknownName
from generation.job import Job, JobState, JobStatus, Produced, Warned
from generation.request import make_request
from generation.result import GeneratedImage
from service.database import Database
from service.history import History
from service.keeper import Keeper
from service.outputs import Outputs
from service.services import Services, build_services
from tests.fakes import PATIENCE, FakeWorker
from tests.service.values import a_submission, an_image


def make(services: Services, **request: object) -> tuple[str, tuple[GeneratedImage, ...]]:
    job = services.generation.submit(make_request(**request))
    return job, services.generation.wait(job, timeout=PATIENCE).images


def test_a_submitted_request_ends_as_a_file_and_a_row(services: Services, tmp_path: Path) -> None:
    job, images = make(services, prompt="a cat", seed=7, batch_size=2)
    rows = services.history.recent()
    assert [image.path for image in images] == [row.path for row in reversed(rows)]
    for image in images:
        assert image.path is not None
        assert image.path.is_relative_to(tmp_path / "outputs")
        with Image.open(image.path) as opened:
            assert opened.text["parameters"] == image.infotext  # type: ignore[attr-defined]
    assert {row.job_id for row in rows} == {job}
    assert services.generation.job(job).request.seed == 7


def test_a_saved_picture_is_not_kept_in_memory(services: Services) -> None:
    _, (image,) = make(services)
    assert image.png == b""
    assert image.path is not None
    assert image.read_png() == image.path.read_bytes()


def test_a_request_that_is_not_to_be_saved_leaves_no_trace(services: Services, tmp_path: Path) -> None:
    _, (image,) = make(services, save=False)
    assert image.png.startswith(b"\x89PNG")
    assert image.path is None
    assert services.history.count() == 0
    assert not (tmp_path / "outputs").exists()


def test_the_settings_decide_about_names_of_files(services: Services) -> None:
    services.preferences.update(folder_pattern="[model_name]", file_name_pattern="x[steps]")
    _, (image,) = make(services, steps=4)
    assert image.path is not None
    assert image.path.relative_to(services.outputs.root).as_posix() == "painter/00000-x4.png"


def test_a_setting_changed_while_a_job_waits_does_not_touch_it(
    services: Services, fake_worker: FakeWorker
) -> None:
    gate = fake_worker.hold_at(1)
    job = services.generation.submit(make_request())
    gate.wait_until_reached()
    waiting = services.generation.submit(make_request())
    services.preferences.update(file_name_pattern="changed", default_steps=3)
    gate.open()
    for status in (
        services.generation.wait(job, timeout=PATIENCE),
        services.generation.wait(waiting, timeout=PATIENCE),
    ):
        (image,) = status.images
        assert image.path is not None
        assert "changed" not in image.path.name
        assert status.steps == 20


def read_only(path: Path, content: bytes) -> None:
    raise OSError(errno.EROFS, "Read-only file system", str(path))


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(Database(tmp_path / "easel.db"), tmp_path)


def test_a_read_only_disk_costs_a_warning_and_the_picture_stays(tmp_path: Path, history: History) -> None:
    keeper = Keeper(Outputs(tmp_path, write=read_only), history)
    image = an_image()
    warned, produced = keeper.translate(a_submission(), a_status(), Produced(image))
    assert isinstance(warned, Warned)
    assert "could not be saved in" in warned.message
    assert "Read-only file system" in warned.message
    assert produced == Produced(image)
    assert history.count() == 0


def test_a_broken_history_costs_a_warning_and_the_file_stays(tmp_path: Path, history: History) -> None:
    class Broken(History):
        def add(self, job: Job, image: GeneratedImage) -> int:
            raise StorageError("The database is full.")

    keeper = Keeper(Outputs(tmp_path), Broken(Database(tmp_path / "easel.db"), tmp_path))
    warned, produced = keeper.translate(a_submission(), a_status(), Produced(an_image()))
    assert warned == Warned("The database is full.")
    assert isinstance(produced, Produced)
    assert produced.image.path is not None
    assert produced.image.path.exists()


def a_status() -> JobStatus:
    return JobStatus(a_submission().job.id)


@pytest.fixture
def broken_disk(tmp_path: Path, models_dir: Path, fake_worker: FakeWorker) -> Iterator[Services]:
    (tmp_path / "outputs").write_text("a file where the folder should be")
    built = build_services(
        worker_factories={"fake": fake_worker},
        models_dirs=[models_dir],
        outputs_dir=tmp_path / "outputs",
        data_dir=tmp_path / "data",
    )
    yield built
    built.close()


def test_the_job_is_done_although_nothing_could_be_saved(broken_disk: Services) -> None:
    job = broken_disk.generation.submit(make_request(batch_count=2))
    status = broken_disk.generation.wait(job, timeout=PATIENCE)
    assert status.state is JobState.DONE
    assert all(image.png and image.path is None for image in status.images)
    assert len(status.warnings) == 2


def test_a_data_folder_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(StorageError, match=r"easel\.db cannot be used"):
        build_services(worker_factories={}, models_dirs=[], outputs_dir=tmp_path, data_dir=tmp_path / "data")


def test_the_same_submission_twice_is_one_job(services: Services, fake_worker: FakeWorker) -> None:
    first = services.generation.submit(make_request(prompt="once"), job_id="mine")
    again = services.generation.submit(make_request(prompt="once"), job_id="mine")
    assert first == again == "mine"
    services.generation.wait("mine", timeout=PATIENCE)
    assert len(fake_worker.jobs) == 1


def test_eta_comes_from_measured_speed(services: Services, fake_worker: FakeWorker) -> None:
    gate = fake_worker.hold_at(10)
    running = services.generation.submit(make_request(steps=20))
    waiting = services.generation.submit(make_request(steps=20))
    gate.wait_until_reached()
    assert services.generation.eta(waiting) is None  # nothing was measured yet
    remaining = services.generation.eta(running)
    assert remaining is not None
    assert remaining > 0
    gate.open()
    services.generation.wait(waiting, timeout=PATIENCE)
    assert services.generation.eta(waiting) is None
    gate = fake_worker.hold_at(1)
    running, waiting = services.generation.submit(make_request()), services.generation.submit(make_request())
    gate.wait_until_reached()
    until_running, until_waiting = services.generation.eta(running), services.generation.eta(waiting)
    assert until_running is not None
    assert until_waiting is not None
    assert until_waiting > until_running
    gate.open()


def test_running_is_the_job_at_work(services: Services, fake_worker: FakeWorker) -> None:
    assert services.generation.running() is None
    gate = fake_worker.hold_at(1)
    job = services.generation.submit(make_request(), owner="ann")
    services.generation.submit(make_request())
    gate.wait_until_reached()
    running = services.generation.running()
    assert running is not None
    assert running.id == job
    assert services.generation.running(owner="bob") is None
    assert services.generation.position(job) == 0
    gate.open()


def test_stopping_needs_the_owner(services: Services, fake_worker: FakeWorker) -> None:
    gate = fake_worker.hold_at(1)
    job = services.generation.submit(make_request(steps=50), owner="ann")
    gate.wait_until_reached()
    with pytest.raises(UnknownJob):
        services.generation.stop(job, owner="bob")
    services.generation.stop(job, owner="ann")
    assert services.generation.wait(job, timeout=PATIENCE).state is JobState.STOPPED


def test_settings_know_the_models(services: Services) -> None:
    services.catalog.wait_for_hashes(PATIENCE)
    settings = {setting.name: setting for setting in services.preferences.describe()}
    (title,) = (card.title for card in services.catalog.checkpoints())
    assert settings["sd_model_checkpoint"].choices == ("", title)
    assert settings["sd_vae"].choices == ("Automatic", "None", *(card.title for card in services.catalog.vaes()))
    assert services.preferences.update(sd_model_checkpoint="PAINTER").sd_model_checkpoint == title
    assert services.preferences.update(sd_vae="automatic").sd_vae == "Automatic"
    with pytest.raises(UnknownName, match="Unknown checkpoint 'nope'"):
        services.preferences.update(sd_model_checkpoint="nope")
    with pytest.raises(UnknownName, match="Unknown VAE 'nope'"):
        services.preferences.update(sd_vae="nope")
