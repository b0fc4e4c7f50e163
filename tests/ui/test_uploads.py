"""Paths from the browser are not believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from generation.errors import InvalidRequest, StorageError
from ui import uploads


@pytest.fixture(autouse=True)
def upload_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


def test_an_upload_is_read() -> None:
    path = uploads.keep_as_upload(b"picture", "a.png")
    assert uploads.read_upload(path, 100) == b"picture"


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "", "."])
def test_other_files_are_not(path: str) -> None:
    with pytest.raises(InvalidRequest, match="not uploaded here"):
        uploads.read_upload(path, 100)


def test_a_link_out_of_the_folder_is_followed_and_refused(upload_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (upload_folder / "link.png").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidRequest, match="not uploaded here"):
        uploads.read_upload(str(upload_folder / "link.png"), 100)


def test_a_file_that_is_too_big_is_refused() -> None:
    path = uploads.keep_as_upload(bytes(2 * 2**20), "big.png")
    with pytest.raises(InvalidRequest, match=r"2\.0 MB"):
        uploads.read_upload(path, 2**20)


def test_a_file_that_is_gone_is_explained(upload_folder: Path) -> None:
    with pytest.raises(InvalidRequest, match="no longer there"):
        uploads.read_upload(str(upload_folder / "gone.png"), 100)
    with pytest.raises(StorageError, match=r"gone\.png"):
        uploads.keep_file(upload_folder / "gone.png")
