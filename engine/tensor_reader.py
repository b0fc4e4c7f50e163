"""Tensors of a checked file of weights, mapped into memory and not copied."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from engine.weights_file import ITEM_SIZES, WeightsFile, unusable

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


class TensorReader:
    """Maps a file; `reader[name]` is a view into it, to be copied and never to be written.

    The map lives as long as any view of it. Copy what is kept: a file that shrinks while it is mapped would end
    the process. Raises ModelFileError if the file changed since its header was checked.
    """

    def __init__(self, file: WeightsFile) -> None:
        try:
            status = file.path.stat()
            if (status.st_size, status.st_mtime_ns) != (file.size, file.modified):
                raise unusable(file.path, "changed while it was being loaded", "Try again.")
            self._bytes = torch.from_file(str(file.path), shared=False, size=file.size, dtype=torch.uint8)
        except (OSError, RuntimeError) as error:
            raise unusable(file.path, "could not be read", "Check the disk, then try again.") from error
        self._file = file

    def __getitem__(self, name: str) -> Tensor:
        entry = self._file.tensors[name]
        item = ITEM_SIZES[entry.dtype]
        span = 1 + sum((side - 1) * step for side, step in zip(entry.shape, entry.stride, strict=True))
        if 0 in entry.shape:
            return torch.empty(entry.shape, dtype=DTYPES[entry.dtype])
        raw = self._bytes[entry.offset : entry.offset + span * item]
        if entry.offset % item:
            raw = raw.clone()  # a view needs an aligned start; old files have headers of any length
        return raw.view(DTYPES[entry.dtype]).as_strided(entry.shape, entry.stride)
