"""Opens a file of weights by what is inside it, never by its suffix. No torch."""

from __future__ import annotations

from pathlib import Path

from engine.pickle_header import read_legacy_pickle, read_zip_pickle
from engine.safetensors_header import read_safetensors_header
from engine.weights_file import WeightsFile, unusable

KNOWN = "Easel reads .safetensors files and .ckpt files of PyTorch."


def open_weights(path: Path) -> WeightsFile:
    """The checked table of contents of a safetensors or PyTorch file.

    Raises ModelFileError naming the file, what is wrong and what to do. Nothing inside the file is executed.
    """
    try:
        status = path.stat()
        if path.is_dir():
            raise unusable(path, "is a folder, not a file of weights", KNOWN)
        with path.open("rb") as stream:
            head = stream.read(512)
            if head[:4] == b"PK\x03\x04":
                return read_zip_pickle(path, stream, status.st_size, status.st_mtime_ns)
            if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
                return read_legacy_pickle(path, stream, status.st_size, status.st_mtime_ns)
            if len(head) >= 9 and head[8:9] == b"{":
                return read_safetensors_header(path, stream, status.st_size, status.st_mtime_ns)
    except FileNotFoundError as error:
        raise unusable(path, "is no longer there", "Press refresh beside the model picker.") from error
    except OSError as error:
        raise unusable(path, f"could not be read: {error.strerror}", "Check the file's permissions.") from error
    raise unusable(path, *_foreign(head))


def _foreign(head: bytes) -> tuple[str, str]:
    """What a file is that holds no weights we can read, and what to do about it."""
    text = head.lstrip().lower()
    if not head:
        return "is empty", "Download the file again."
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page, not a model", "The download went wrong: log in at the site, then download again."
    if text.startswith(b"version https://git-lfs"):
        return "is only a pointer of git-lfs", "Fetch the real file with `git lfs pull`."
    if text.startswith(b"gguf"):
        return "is a GGUF file, which Easel does not load yet", KNOWN
    if text.startswith(b"ckpt") or head[:2] in (b"\x1f\x8b", b"7z", b"Ra"):
        return "is a packed archive", "Unpack it and put the model file inside it into the folder."
    return "is not a file of weights: its beginning is of no known format", f"{KNOWN} Download it again."
