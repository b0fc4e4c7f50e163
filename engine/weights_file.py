"""What a file of weights holds, known before a byte of weights is read. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from generation.errors import ModelFileError

DOWNLOAD_AGAIN = "Download the file again, or choose another model."

ITEM_SIZES: Mapping[str, int] = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Where one tensor lies: `offset` in bytes from the start of the file, `stride` in elements.

    `dtype` is safetensors' word for it ("F16"). Every element lies inside the file: that was checked.
    """

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """How many bytes its elements take."""
        return math.prod(self.shape) * ITEM_SIZES[self.dtype]


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """The table of contents of one checked file. `modified` is its mtime in nanoseconds."""

    path: Path
    tensors: Mapping[str, TensorEntry] = field(repr=False)
    metadata: Mapping[str, str] = field(repr=False)
    size: int
    modified: int

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor by name."""
        return {name: entry.shape for name, entry in self.tensors.items()}


def contiguous_stride(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major strides of `shape`, in elements."""
    strides: list[int] = []
    step = 1
    for side in reversed(shape):
        strides.append(step)
        step *= max(side, 1)
    return tuple(reversed(strides))


def unusable(path: Path, what: str, hint: str = DOWNLOAD_AGAIN) -> ModelFileError:
    """The error for a file that cannot be used; `what` completes the sentence after the file's name."""
    return ModelFileError(f"{path.name} {what}.", hint, "model")
