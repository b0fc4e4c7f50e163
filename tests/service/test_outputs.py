from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from generation.errors import StorageError
from service.files import replace_file, write_new_file
from service.outputs import Naming, Outputs
from tests.service.values import a_job, an_image

NOW = datetime(2026, 11, 21, 13, 5, 9)


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return Outputs(tmp_path / "outputs", now=lambda: NOW)


def test_a_picture_lands_in_the_folder_of_its_day(outputs: Outputs, tmp_path: Path) -> None:
    image = an_image(seed=42)
    path = outputs.save(a_job(prompt="a cat"), image, 0)
    assert path == tmp_path / "outputs/2026-11-21/00000-42-a cat.png"
    assert path.read_bytes() == image.png


def test_numbers_go_on_after_a_restart(outputs: Outputs) -> None:
    first = outputs.save(a_job(), an_image(), 0)
    for name in ("00007-x.png", "12345.txt", "00004-y.png", "9-z.png", "notes.txt", "00020nodash.png"):
        (first.parent / name).touch()
    again = Outputs(outputs.root, now=lambda: NOW)
    assert again.save(a_job(), an_image(), 0).name.startswith("12346-")
    assert again.save(a_job(), an_image(), 1).name.startswith("12347-")


def test_an_existing_file_is_never_overwritten(outputs: Outputs) -> None:
    first = outputs.save(a_job(prompt="same"), an_image(), 0)
    taken = first.with_name("00001-1-same.png")
    taken.write_bytes(b"somebody else's")  # by another process, after the numbers were read
    second = outputs.save(a_job(prompt="same"), an_image(), 0)
    assert second.name == "00002-1-same.png"
    assert taken.read_bytes() == b"somebody else's"


def test_many_threads_get_different_names(outputs: Outputs) -> None:
    job = a_job(prompt="same")
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda index: outputs.save(job, an_image(), index), range(40)))
    assert len(set(paths)) == 40
    assert sorted(path.name[:5] for path in paths) == [f"{number:05d}" for number in range(40)]


def test_patterns_decide_folder_and_name(outputs: Outputs) -> None:
    path = outputs.save(a_job(), an_image(seed=3), 0, Naming("[model_name]/[date]", "[steps]"))
    assert path.relative_to(outputs.root).as_posix() == "painter/2026-11-21/00000-3.png"
    assert outputs.save(a_job(), an_image(), 0, Naming("", "")).relative_to(outputs.root).as_posix() == "00000.png"


def test_no_half_written_files_are_left(outputs: Outputs) -> None:
    path = outputs.save(a_job(), an_image(), 0)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def failing(code: int) -> Callable[[Path, bytes], None]:
    def write(path: Path, content: bytes) -> None:
        raise OSError(code, os.strerror(code), str(path))

    return write


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_failing_disk_is_a_sentence_with_folder_and_reason(tmp_path: Path, code: int) -> None:
    outputs = Outputs(tmp_path, write=failing(code), now=lambda: NOW)
    with pytest.raises(StorageError, match=f"could not be saved in .*2026-11-21: {os.strerror(code)}"):
        outputs.save(a_job(), an_image(), 0)


def test_a_file_in_the_place_of_the_folder_is_an_error(outputs: Outputs) -> None:
    outputs.root.mkdir()
    (outputs.root / "2026-11-21").touch()
    with pytest.raises(StorageError, match="could not be saved"):
        outputs.save(a_job(), an_image(), 0)


def test_a_link_does_not_lead_pictures_out_of_the_folder(outputs: Outputs, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    outputs.root.mkdir()
    (outputs.root / "2026-11-21").symlink_to(elsewhere)
    with pytest.raises(StorageError, match="leads out of the outputs folder"):
        outputs.save(a_job(), an_image(), 0)
    assert list(elsewhere.iterdir()) == []


def test_without_hard_links_files_are_still_written_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    file = tmp_path / "x.png"
    write_new_file(file, b"one")
    with pytest.raises(FileExistsError):
        write_new_file(file, b"two")
    assert file.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [file]


def test_a_name_that_is_taken_while_writing_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.png"
    monkeypatch.setattr(os, "fsync", lambda _: file.write_bytes(b"somebody was faster"))
    with pytest.raises(FileExistsError):
        write_new_file(file, b"mine")
    assert file.read_bytes() == b"somebody was faster"
    assert list(tmp_path.iterdir()) == [file]


def test_a_failed_replacement_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.json"
    replace_file(file, b"one")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        replace_file(file, b"two")
    assert file.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [file]
