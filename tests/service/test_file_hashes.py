from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from service.database import Database
from service.file_hashes import CHUNK, FileHashes


@pytest.fixture
def hashes(tmp_path: Path) -> FileHashes:
    return FileHashes(Database(tmp_path / "easel.db"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights" * CHUNK)
    return path


def test_a_hash_is_the_sha256_and_known_from_then_on(hashes: FileHashes, file: Path, tmp_path: Path) -> None:
    assert hashes.known(file) is None
    assert hashes.compute(file) == hashlib.sha256(file.read_bytes()).hexdigest()
    again = FileHashes(Database(tmp_path / "easel.db"))  # after a restart
    assert again.known(file) == hashes.compute(file)


def test_a_known_hash_is_not_computed_again(hashes: FileHashes, file: Path) -> None:
    first = hashes.compute(file)
    stamp = file.stat()
    file.write_bytes(b"WEIGHTS" * CHUNK)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # nobody can tell that it changed
    assert hashes.compute(file) == first


@pytest.mark.parametrize("change", ["size", "time"])
def test_a_changed_file_is_not_known(hashes: FileHashes, file: Path, change: str) -> None:
    hashes.compute(file)
    stamp = file.stat()
    if change == "size":
        file.write_bytes(b"more")
        os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    else:
        os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert hashes.known(file) is None


def safetensors(path: Path, header: bytes, body: bytes) -> Path:
    path.write_bytes(len(header).to_bytes(8, "little") + header + body)
    return path


@pytest.mark.parametrize("header_size", [2, 1000, CHUNK - 8, CHUNK - 7, 2 * CHUNK + 3])
def test_the_hash_of_the_body_leaves_out_the_header(hashes: FileHashes, tmp_path: Path, header_size: int) -> None:
    body = b"weights" * CHUNK
    path = safetensors(tmp_path / "l.safetensors", b"{" + b" " * (header_size - 2) + b"}", body)
    assert hashes.compute(path, with_body=True) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert hashes.known_body(path) == hashlib.sha256(body).hexdigest()


def test_a_missing_hash_of_the_body_is_computed_though_the_other_is_known(
    hashes: FileHashes, tmp_path: Path
) -> None:
    path = safetensors(tmp_path / "l.safetensors", b"{}", b"body")
    whole = hashes.compute(path)
    assert hashes.known_body(path) is None
    assert hashes.compute(path, with_body=True) == whole == hashes.known(path)
    assert hashes.known_body(path) == hashlib.sha256(b"body").hexdigest()


@pytest.mark.parametrize("content", [b"", b"{", b"PK\x03\x04 and so on", b"\xff" * 8 + b"{}"])
def test_of_other_files_the_body_is_the_whole(hashes: FileHashes, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "l.pt"
    path.write_bytes(content)
    assert hashes.compute(path, with_body=True) == hashes.known_body(path) == hashlib.sha256(content).hexdigest()


def test_a_link_and_its_file_share_the_hash(hashes: FileHashes, file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.safetensors"
    link.symlink_to(file)
    assert hashes.compute(file) == hashes.known(link)


def test_a_cancelled_hash_is_none_and_soon_over(hashes: FileHashes, file: Path) -> None:
    asked: list[None] = []

    def is_cancelled() -> bool:
        asked.append(None)
        return len(asked) > 2

    assert hashes.compute(file, is_cancelled) is None
    assert len(asked) == 3
    assert hashes.known(file) is None


def test_a_file_that_changes_while_it_is_read_is_not_remembered(hashes: FileHashes, file: Path) -> None:
    growing = iter([b"!"])

    def grow_once() -> bool:
        with file.open("ab") as opened:
            opened.write(next(growing, b""))
        return False

    hashes.compute(file, grow_once)
    assert hashes.known(file) is None


def test_a_missing_file_is_an_error_only_when_it_must_be_read(hashes: FileHashes, tmp_path: Path) -> None:
    assert hashes.known(tmp_path / "gone") is None
    with pytest.raises(FileNotFoundError):
        hashes.compute(tmp_path / "gone")


def test_a_broken_cache_only_costs_time(hashes: FileHashes, file: Path, tmp_path: Path) -> None:
    for part in tmp_path.glob("easel.db*"):
        part.unlink()
    (tmp_path / "easel.db").mkdir()
    assert hashes.known(file) is None
    assert hashes.compute(file) == hashlib.sha256(file.read_bytes()).hexdigest()
