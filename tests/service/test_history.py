from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from generation.errors import StorageError, UnknownName
from generation.job import Job
from generation.result import GeneratedImage
from service.database import Database
from service.history import History, HistoryRow, request_json
from tests.fakes import png_of
from tests.service.values import PAINTER, a_job, an_image

MASK, INIT = png_of((255, 255, 255)), png_of((1, 2, 3))


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(Database(tmp_path / "easel.db"), tmp_path / "outputs", clock=lambda: 1234.5)


def saved(history_root: Path, seed: int = 1) -> GeneratedImage:
    return replace(an_image(seed), path=history_root / f"2026-11-21/{seed}.png")


def add(history: History, tmp_path: Path, seed: int = 1, **request: object) -> tuple[Job, int]:
    job = a_job(**request)
    return job, history.add(job, saved(tmp_path / "outputs", seed))


def test_a_row_holds_what_was_made(history: History, tmp_path: Path) -> None:
    checkpoint = PAINTER.model_copy(update={"sha256": "ab" * 32})
    job = a_job(prompt="a cat", negative_prompt="dog", owner="ann", checkpoint=checkpoint)
    image = replace(saved(tmp_path / "outputs", 2**63 + 5), is_partial=True)
    row = history.get(history.add(job, image))
    assert row == HistoryRow(
        id=row.id,
        created=1234.5,
        job_id=job.id,
        owner="ann",
        path=image.path or Path(),
        seed=2**63 + 5,
        width=16,
        height=16,
        prompt="a cat",
        negative_prompt="dog",
        model_name="painter",
        model_hash="ab" * 32,
        infotext=image.infotext,
        request=request_json(job.request),
        sha256=hashlib.sha256(image.png).hexdigest(),
        is_partial=True,
    )


def test_recent_pictures_come_newest_first_in_pages(history: History, tmp_path: Path) -> None:
    ids = [add(history, tmp_path, seed)[1] for seed in range(5)]
    assert [row.id for row in history.recent(2)] == ids[:-3:-1]
    assert [row.id for row in history.recent(2, offset=2)] == [ids[2], ids[1]]
    assert [row.id for row in history.recent(10, offset=4)] == [ids[0]]
    assert history.count() == 5


def test_owners_see_only_their_own(history: History, tmp_path: Path) -> None:
    _, ann = add(history, tmp_path, owner="ann")
    _, bob = add(history, tmp_path, owner="bob")
    assert [row.id for row in history.recent(owner="ann")] == [ann]
    assert [row.id for row in history.recent()] == [bob, ann]
    assert (history.count("ann"), history.count("nobody"), history.count()) == (1, 0, 2)
    assert history.get(bob, owner="bob").owner == "bob"
    with pytest.raises(UnknownName, match=f"no picture {bob}"):
        history.get(bob, owner="ann")
    with pytest.raises(UnknownName):
        history.get(999)


def test_the_request_is_kept_without_the_bytes_of_pictures() -> None:
    job = a_job(
        prompt="ä cat",
        extras={"x": [1]},
        img2img={"init_images": (INIT, MASK), "inpaint": {"mask": MASK}, "denoising_strength": 0.5},
    )
    text = request_json(job.request)
    values = json.loads(text)
    digests = [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in (INIT, MASK)]
    assert values["img2img"]["init_images"] == digests
    assert values["img2img"]["inpaint"]["mask"] == digests[1]
    assert values["img2img"]["inpaint"]["blur_x"] == 4
    assert values["img2img"]["denoising_strength"] == 0.5
    assert values["prompt"] == "ä cat"
    assert values["extras"] == {"x": [1]}
    assert values.keys() == job.request.model_dump().keys()


def test_a_plain_request_can_be_made_again_from_the_row(history: History, tmp_path: Path) -> None:
    job, row_id = add(history, tmp_path, prompt="again", sampler="Heun", batch_size=2)
    assert type(job.request).model_validate_json(history.get(row_id).request) == job.request


def test_the_outputs_folder_may_move(history: History, tmp_path: Path) -> None:
    _, row_id = add(history, tmp_path, seed=7)
    moved = History(Database(tmp_path / "easel.db"), tmp_path / "elsewhere")
    assert moved.get(row_id).path == tmp_path / "elsewhere/2026-11-21/7.png"


def test_pictures_outside_the_outputs_folder_keep_their_whole_path(history: History, tmp_path: Path) -> None:
    elsewhere = replace(an_image(), path=tmp_path / "other/x.png")
    assert history.get(history.add(a_job(), elsewhere)).path == tmp_path / "other/x.png"


def test_a_picture_without_a_file_is_refused(history: History) -> None:
    with pytest.raises(ValueError, match="only saved pictures"):
        history.add(a_job(), an_image())


def test_a_database_that_is_gone_is_a_sentence(history: History, tmp_path: Path) -> None:
    for file in tmp_path.glob("easel.db*"):
        file.unlink()
    (tmp_path / "easel.db").mkdir()
    with pytest.raises(StorageError, match=r"easel\.db cannot be used"):
        add(history, tmp_path)
