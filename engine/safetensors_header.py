"""The header of a .safetensors file, checked before anything is allocated for it. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from engine.weights_file import ITEM_SIZES, TensorEntry, WeightsFile, contiguous_stride, unusable

# Real headers are below 2 MB; a library given 300,000 tensors is busy for 12 s before it complains.
MAX_HEADER_BYTES = 32 * 2**20
MAX_TENSORS = 20_000
MAX_SIDE = 2**40


def read_safetensors_header(path: Path, stream: BinaryIO, size: int, modified: int) -> WeightsFile:
    """The table of contents. Raises ModelFileError for anything but a whole, consistent file."""
    stream.seek(0)
    length = int.from_bytes(stream.read(8), "little")
    if length > MAX_HEADER_BYTES:
        raise unusable(path, f"claims a header of {length:,} bytes (at most {MAX_HEADER_BYTES:,} are allowed)")
    if 8 + length > size:
        raise unusable(path, "is cut off within its header")
    header = _parse(path, stream.read(length))
    metadata = header.pop("__metadata__", {})
    if len(header) > MAX_TENSORS:
        raise unusable(path, f"claims to hold {len(header):,} tensors (at most {MAX_TENSORS:,} are allowed)")
    start = 8 + length
    ranges = [(_range(path, name, entry), name, entry) for name, entry in header.items()]
    _check_layout(path, sorted(span for span, _, _ in ranges), size - start)
    tensors = {name: _entry(path, name, entry, span, start) for span, name, entry in ranges}
    return WeightsFile(path, tensors, _texts(metadata), size, modified)


def _parse(path: Path, raw: bytes) -> dict[str, Any]:  # Any: JSON
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise unusable(path, "is damaged: its header is not readable") from error
    if not isinstance(header, dict):
        raise unusable(path, "is damaged: its header is not a table")
    return header


def _texts(metadata: object) -> Mapping[str, str]:
    if not isinstance(metadata, dict):
        return {}
    return {str(key): value for key, value in metadata.items() if isinstance(value, str)}


def _range(path: Path, name: str, entry: Any) -> tuple[int, int]:  # Any: JSON
    match entry:
        case {"data_offsets": [int(begin), int(end)]} if 0 <= begin <= end:
            return begin, end
    raise unusable(path, f"is damaged: {name[:80]!r} has no place in the file")


def _check_layout(path: Path, spans: list[tuple[int, int]], data_size: int) -> None:
    """Tensors must fill the file without gap or overlap, as the format demands."""
    position = 0
    for begin, end in spans:
        if begin != position:
            raise unusable(path, "is damaged: its tensors overlap or leave gaps")
        position = end
    if position > data_size:
        missing = position - data_size
        raise unusable(path, f"is cut off: {missing:,} of {position:,} bytes of weights are missing")
    if position < data_size:
        raise unusable(path, f"is damaged: {data_size - position:,} bytes too many at its end")


def _entry(path: Path, name: str, entry: Any, span: tuple[int, int], start: int) -> TensorEntry:  # Any: JSON
    dtype, shape = entry.get("dtype"), entry.get("shape")
    if dtype not in ITEM_SIZES:
        hint = "Choose a version of the model in fp16, bf16 or fp32."
        raise unusable(path, f"holds numbers of a kind Easel does not know ({str(dtype)[:20]!r})", hint)
    is_shape = isinstance(shape, list) and all(type(side) is int and 0 <= side < MAX_SIDE for side in shape)
    if not is_shape or len(shape) > 8:
        raise unusable(path, f"is damaged: {name[:80]!r} has no valid shape")
    made = TensorEntry(dtype, tuple(shape), contiguous_stride(tuple(shape)), start + span[0])
    if made.size != span[1] - span[0]:
        raise unusable(path, f"is damaged: shape and size of {name[:80]!r} do not fit")
    return made
