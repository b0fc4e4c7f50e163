"""Table of contents of a PyTorch file (.ckpt, .pt, .bin). No torch, and nothing in the file is executed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from engine.pickle_reader import CONVERT, MAX_PICKLE_BYTES, TensorReference, read_pickle
from engine.weights_file import ITEM_SIZES, TensorEntry, WeightsFile, contiguous_stride, unusable

MAX_TENSORS = 20_000
MAX_DEPTH = 8
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def read_zip_pickle(path: Path, stream: BinaryIO, size: int, modified: int) -> WeightsFile:
    """The table of contents of today's PyTorch format: a zip with `data.pkl` and one stored entry a storage."""
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
            _check_zip(path, entries, size)
            pickles = [entry for entry in entries if entry.filename.rsplit("/", 1)[-1] == "data.pkl"]
            if len(pickles) != 1:
                hint = "Unpack it if it is an archive with a model inside."
                raise unusable(path, "is a zip file, but not one that PyTorch wrote", hint)
            program = archive.read(pickles[0])
            folder = pickles[0].filename.removesuffix("data.pkl") + "data/"
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise unusable(path, "is damaged or cut off: the archive cannot be read") from error
    places: dict[str, tuple[int, int]] = {}
    for entry in entries:
        if entry.filename.startswith(folder):
            places[entry.filename.removeprefix(folder)] = (_data_offset(path, stream, entry), entry.file_size)
    content = read_pickle(path, io.BytesIO(program), len(program))
    return WeightsFile(path, dict(_entries(path, content, places)), {}, size, modified)


def _check_zip(path: Path, entries: list[zipfile.ZipInfo], size: int) -> None:
    if len(entries) > 2 * MAX_TENSORS:
        raise unusable(path, f"claims to hold {len(entries):,} parts (at most {2 * MAX_TENSORS:,} are allowed)")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise unusable(path, "is a compressed archive, which PyTorch never writes", "Do not use this file.")
    if sum(entry.file_size for entry in entries) > size:
        raise unusable(path, "claims to hold more than its size", "Do not use this file.")
    for entry in entries:
        if entry.filename.rsplit("/", 1)[-1] == "data.pkl" and entry.file_size > MAX_PICKLE_BYTES:
            raise unusable(path, f"has an index of {entry.file_size:,} bytes, far too large", CONVERT)


def _data_offset(path: Path, stream: BinaryIO, entry: zipfile.ZipInfo) -> int:
    """Where an entry's bytes begin: after its local header, whose name and extra field vary in length."""
    stream.seek(entry.header_offset)
    header = stream.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise unusable(path, "is damaged: its archive points to nothing")
    return (
        entry.header_offset
        + 30
        + int.from_bytes(header[26:28], "little")
        + int.from_bytes(header[28:30], "little")
    )


def read_legacy_pickle(path: Path, stream: BinaryIO, size: int, modified: int) -> WeightsFile:
    """The table of contents of PyTorch's format before 1.6: five pickles in a row, then the storages.

    The pickles are: a magic number, a version, facts of the machine, the content, the order of the storages.
    """
    stream.seek(0)
    if read_pickle(path, stream, size) != LEGACY_MAGIC:
        raise unusable(path, "is a pickle, but not one that PyTorch wrote", CONVERT)
    read_pickle(path, stream, size)
    read_pickle(path, stream, size)
    content = read_pickle(path, stream, size)
    order = read_pickle(path, stream, size)
    item_sizes = {use.storage.key: ITEM_SIZES[use.storage.dtype] for _, use in _references(content)}
    places: dict[str, tuple[int, int]] = {}
    if not isinstance(order, list) or len(order) > 2 * MAX_TENSORS:
        raise unusable(path, "is damaged: the order of its tensors is missing")
    for key in order:
        # Each storage is its number of elements, eight bytes, and then the elements.
        count = int.from_bytes(stream.read(8), "little")
        here = stream.tell()
        if str(key) not in item_sizes:
            raise unusable(path, "keeps its weights in a way Easel does not know", CONVERT)
        length = count * item_sizes[str(key)]
        if here + length > size:
            raise unusable(path, "is cut off: weights are missing at its end")
        places[str(key)] = (here, length)
        stream.seek(here + length)
    return WeightsFile(path, dict(_entries(path, content, places)), {}, size, modified)


def _references(content: object, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, TensorReference]]:
    """Every tensor with its dotted name. A `state_dict` inside a training checkpoint loses that prefix."""
    if isinstance(content, TensorReference):
        yield prefix, content
    elif isinstance(content, dict) and depth < MAX_DEPTH:
        inner = content.get("state_dict") if depth == 0 else None
        if isinstance(inner, dict):
            yield from _references(inner, "", depth + 1)
            return
        for key, value in content.items():
            if isinstance(key, str | int):
                yield from _references(value, f"{prefix}.{key}" if prefix else str(key), depth + 1)


def _entries(
    path: Path, content: object, places: Mapping[str, tuple[int, int]]
) -> Iterator[tuple[str, TensorEntry]]:
    """Checked entries: every element of every tensor lies inside its storage, and the storage inside the file."""
    for count, (name, use) in enumerate(_references(content)):
        if count >= MAX_TENSORS:
            raise unusable(path, f"claims to hold more than {MAX_TENSORS:,} tensors")
        if use.storage.key not in places:
            raise unusable(path, f"is damaged: the weights of {name[:80]!r} are missing")
        begin, available = places[use.storage.key]
        item = ITEM_SIZES[use.storage.dtype]
        entry = TensorEntry(use.storage.dtype, use.shape, use.stride, begin + use.offset * item)
        if not _fits(use, available // item):
            raise unusable(path, f"claims more weights for {name[:80]!r} than it has", "Do not use this file.")
        yield name, entry


def _fits(use: TensorReference, available: int) -> bool:
    """True if the window lies within `available` elements and shows none of them twice (stride 0 bombs)."""
    if len(use.shape) != len(use.stride) or len(use.shape) > 8 or use.offset < 0:
        return False
    if any(side < 0 or step < 0 for side, step in zip(use.shape, use.stride, strict=True)):
        return False
    if 0 in use.shape:
        return True
    last = use.offset + sum((side - 1) * step for side, step in zip(use.shape, use.stride, strict=True))
    elements = 1
    for side in use.shape:
        elements *= side
    if use.stride != contiguous_stride(use.shape) and any(
        side > 1 and step == 0 for side, step in zip(use.shape, use.stride, strict=True)
    ):
        return False
    return last < available and elements <= available
