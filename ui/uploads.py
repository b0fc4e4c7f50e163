"""Files that the browser uploaded. Component values are plain JSON from outside: every path is checked."""

from __future__ import annotations

import secrets
from pathlib import Path

from gradio.utils import get_upload_folder, is_in_or_equal

from generation.errors import InvalidRequest, StorageError


def read_upload(path: str, max_bytes: int) -> bytes:
    """Contents of an uploaded file. Raises InvalidRequest if it is no upload, gone or too big."""
    file = Path(path).resolve()
    if not is_in_or_equal(file, Path(get_upload_folder()).resolve()):
        raise InvalidRequest("This picture was not uploaded here.", "Choose the picture again.", "init_images")
    try:
        size = file.stat().st_size
        if size > max_bytes:
            hint = f"At most {max_bytes // 2**20} MB are allowed."
            raise InvalidRequest(f"The picture has {size / 2**20:.1f} MB.", hint, "init_images")
        return file.read_bytes()
    except OSError:
        raise InvalidRequest(
            "The uploaded picture is no longer there.", "Choose the picture again.", "init_images"
        ) from None


def keep_as_upload(contents: bytes, name: str) -> str:
    """Path of a new file in the upload folder, for pictures of ours that go back into the form."""
    folder = Path(get_upload_folder()) / secrets.token_hex(16)
    folder.mkdir(parents=True)
    file = folder / name
    file.write_bytes(contents)
    return str(file.resolve())


def keep_file(path: Path) -> str:
    """A copy of a saved picture in the upload folder. Raises StorageError if its file is gone."""
    try:
        return keep_as_upload(path.read_bytes(), path.name)
    except OSError as error:
        raise StorageError(
            f"{path.name} could not be read.", "Its file may have been moved or deleted."
        ) from error
