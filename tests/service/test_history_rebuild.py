from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from generation.metadata import write_png
from generation.request import make_request
from generation.request_json import request_to_json
from service.database import Database
from service.history import History, request_json
from service.history_rebuild import RebuildReport, rebuild
from service.services import Services
from tests.fakes import PATIENCE, png_of

INFOTEXT = (
    "a cat, sitting\nNegative prompt: blurry\nSteps: 5, Sampler: Euler, CFG scale: 7, Seed: 42, Size: 16x16, "
    "Model hash: abcdef0123, Model: painter"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


@pytest.fixture
def history(tmp_path: Path, root: Path) -> History:
    return History(Database(tmp_path / "new.db"), root)


def test_a_lost_database_is_built_again_from_the_files(services: Services, tmp_path: Path) -> None:
    for prompt in ("a cat", "a dog"):
        job = services.generation.submit(make_request(prompt=prompt, negative_prompt="blurry", seed=5))
        services.generation.wait(job, timeout=PATIENCE)
    before = services.history.recent()
    fresh = History(Database(tmp_path / "new.db"), services.outputs.root)
    assert rebuild(fresh, services.outputs.root, owner="ann") == RebuildReport(added=2)
    again = {row.path: row for row in fresh.recent()}
    for row in before:
        rebuilt = again[row.path]
        for name in ("seed", "width", "height", "prompt", "negative_prompt", "infotext", "sha256", "model_name"):
            assert getattr(rebuilt, name) == getattr(row, name), name
        assert rebuilt.owner == "ann"
    assert rebuild(fresh, services.outputs.root) == RebuildReport(known=2)


def test_infotext_and_our_own_chunk_are_read(root: Path, history: History) -> None:
    request = make_request(prompt="a cat, sitting", steps=5, seed=42)
    file = root / "2026-11-21/00001-42.png"
    file.parent.mkdir()
    file.write_bytes(write_png(np.zeros((16, 24, 3), np.uint8), INFOTEXT, request_to_json(request, "painter")))
    os.utime(file, (1000, 1000))
    assert rebuild(history, root) == RebuildReport(added=1)
    (row,) = history.recent()
    assert (row.prompt, row.negative_prompt, row.seed) == ("a cat, sitting", "blurry", 42)
    assert (row.model_name, row.model_hash, row.width, row.height) == ("painter", "abcdef0123", 24, 16)
    assert (row.created, row.path, row.infotext) == (1000, file, INFOTEXT)
    assert row.request == request_json(request)


def test_files_that_are_no_pictures_of_ours_are_skipped(
    root: Path, history: History, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "plain.png").write_bytes(png_of((1, 2, 3)))
    (root / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (root / "notes.txt").write_text("no picture")
    (root / ".trash").mkdir()
    (root / ".trash/old.png").write_bytes(png_of((1, 2, 3), infotext=INFOTEXT))
    (root / ".hidden.png").write_bytes(png_of((1, 2, 3), infotext=INFOTEXT))
    assert rebuild(history, root) == RebuildReport(skipped=2)
    assert "broken.png was left out" in caplog.text


def test_a_picture_moved_by_hand_is_found_again_with_its_mark(root: Path, history: History) -> None:
    file = root / "a.png"
    file.write_bytes(png_of((1, 2, 3), infotext=INFOTEXT))
    rebuild(history, root)
    (row,) = history.recent()
    history.set_favourite(row.id, True)
    (root / "best").mkdir()
    moved = file.rename(root / "best/b.png")
    assert rebuild(history, root) == RebuildReport(moved=1)
    assert history.recent() == [replace(row, path=moved, is_favourite=True)]


def test_a_copy_is_one_picture(root: Path, history: History) -> None:
    for name in ("a.png", "copy.png"):
        (root / name).write_bytes(png_of((1, 2, 3), infotext=INFOTEXT))
    assert rebuild(history, root) == RebuildReport(added=1, known=1)


def test_it_can_be_cancelled(root: Path, history: History) -> None:
    for number in range(3):
        (root / f"{number}.png").write_bytes(png_of((number, 2, 3), infotext=INFOTEXT))
    answers = iter([False, True])
    assert rebuild(history, root, is_cancelled=lambda: next(answers)) == RebuildReport(added=1)


@pytest.mark.parametrize("seed", ["", "-1", "many", "²", "9" * 5000])
def test_odd_infotext_does_no_harm(root: Path, history: History, seed: str) -> None:
    infotext = INFOTEXT.replace("Seed: 42", f"Seed: {seed}")
    (root / "a.png").write_bytes(png_of((1, 2, 3), infotext=infotext))
    assert rebuild(history, root) == RebuildReport(added=1)
    assert history.recent()[0].seed == -1
