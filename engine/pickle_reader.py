"""Builds what a pickle describes without running what it says. No torch.

A pickle is a small program. This reader first walks its instructions without obeying them, refuses every one that
tensors do not need and every name that does not belong into a checkpoint, and only then lets Python's unpickler
build it, with stand-ins of ours in place of every class and function.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from engine.weights_file import ITEM_SIZES, unusable

MAX_PICKLE_BYTES = 64 * 2**20
MAX_INSTRUCTIONS = 5_000_000
CONVERT = "Choose the .safetensors version of this model, which cannot contain programs."

# Instructions that neither run anything nor can ask for much memory: the sizes in them are of data that follows.
HARMLESS = frozenset(
    """
    PROTO STOP MARK POP POP_MARK DUP PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET MEMOIZE FRAME
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT
    UNICODE BINUNICODE SHORT_BINUNICODE STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES
    EMPTY_LIST APPEND APPENDS LIST EMPTY_DICT DICT SETITEM SETITEMS
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_SET ADDITEMS FROZENSET
    BINPERSID GLOBAL REDUCE BUILD NEWOBJ
    """.split()  # noqa: SIM905
)
MEMO_WRITES = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))

STORAGE_DTYPES: Mapping[str, str] = {
    "DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}  # fmt: skip

# What training programs leave beside the weights. All become stand-ins; the list only tells them from attacks.
BYSTANDERS = ("pytorch_lightning.", "lightning.", "lightning_fabric.", "omegaconf.", "ldm.", "numpy.", "torch.")
BYSTANDER_NAMES = frozenset(
    ("_codecs.encode", "collections.defaultdict", "collections.Counter", "builtins.dict", "builtins.list",
     "builtins.set", "builtins.int", "builtins.float", "builtins.str", "builtins.bool", "builtins.complex",
     "__builtin__.dict", "__builtin__.list", "__builtin__.set", "__builtin__.int", "__builtin__.float",
     "__builtin__.str", "__builtin__.unicode", "__builtin__.long", "typing.Any", "pathlib.PosixPath")
)  # fmt: skip
RISKY = ("torch.hub", "torch.utils", "torch.package", "torch.jit", "torch.load", "torch.serialization.",
         "torch.classes", "torch.ops", "torch.multiprocessing", "torch.distributed", "torch._inductor",
         "torch._dynamo", "torch.testing", "numpy.load", "numpy.testing", "numpy.f2py",
         "numpy.distutils")  # fmt: skip


class StandIn:
    """Takes the place of whatever a pickle asks for: accepts anything, does nothing."""

    def __new__(cls, *_: object, **__: object) -> StandIn:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass

    def __hash__(self) -> int:
        return id(self)

    def append(self, item: object) -> None:
        pass

    def extend(self, items: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass


@dataclass(frozen=True, slots=True)
class StorageReference:
    """A block of numbers that a pickle points to: where it lies is in the file around the pickle."""

    dtype: str
    key: str
    count: int


@dataclass(frozen=True, slots=True)
class TensorReference:
    """A tensor as a window on a block of numbers; nothing of it is checked yet."""

    storage: StorageReference
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _StateDict(OrderedDict[Any, Any]):  # Any: keys and values of somebody else's file
    """An ordered dictionary that drops the attributes PyTorch hangs on it."""

    def __setstate__(self, state: object) -> None:
        pass


def read_pickle(path: Path, stream: BinaryIO | io.BytesIO, size: int) -> object:
    """What the pickle at the stream's position describes, tensors as references; leaves the stream behind it.

    Raises ModelFileError for a pickle that holds a program, wants too much memory, or makes no sense.
    """
    start = stream.tell()
    _check_instructions(path, stream)
    length = stream.tell() - start
    stream.seek(start)
    program = stream.read(length)
    try:
        return _Reader(io.BytesIO(program), encoding="latin-1").load()
    except RecursionError as error:
        raise unusable(path, "is damaged: its index is nested too deeply", CONVERT) from error
    except Exception as error:  # a broken pickle can raise anything from inside the unpickler
        raise unusable(path, "is damaged: its index makes no sense", CONVERT) from error


def _check_instructions(path: Path, stream: BinaryIO | io.BytesIO) -> None:
    """Walks the instructions without obeying one. Raises ModelFileError at the first that must not be there."""
    try:
        for count, (instruction, argument, position) in enumerate(pickletools.genops(stream)):
            if instruction.name not in HARMLESS:
                raise unusable(
                    path, f"has an index with the instruction {instruction.name}, which is not safe", CONVERT
                )
            if instruction.name == "GLOBAL":
                _check_name(path, str(argument).replace(" ", "."))
            # Python reserves room up to the number written, however large; honest files count up from 0.
            if instruction.name in MEMO_WRITES and int(argument or 0) > count:
                raise unusable(path, "has an index that asks for far too much memory", "Do not use this file.")
            if count > MAX_INSTRUCTIONS or (position or 0) > MAX_PICKLE_BYTES:
                raise unusable(path, "has an index that is far too large", CONVERT)
    except (ValueError, OverflowError, MemoryError) as error:
        raise unusable(path, "is damaged or cut off: its index is not readable") from error


def _check_name(path: Path, name: str) -> None:
    known = name.startswith(BYSTANDERS) or name in BYSTANDER_NAMES or name == "collections.OrderedDict"
    if known and not name.startswith(RISKY):
        return
    raise unusable(
        path,
        f"contains a program ({name[:60]}) and was not opened; nothing of it was run",
        f"Do not use this file. {CONVERT}",
    )


class _Reader(pickle.Unpickler):
    """Python's unpickler with a stand-in for every name. The instructions were checked before."""

    def find_class(self, module: str, name: str) -> Any:  # Any: a class or a function
        match f"{module}.{name}":
            case "collections.OrderedDict":
                return _StateDict
            case "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor":
                return _tensor
            case "torch._utils._rebuild_parameter":
                return _parameter
        if module in ("torch", "torch.cuda") and name in STORAGE_DTYPES:
            return STORAGE_DTYPES[name]
        return StandIn

    def persistent_load(self, pid: Any) -> StorageReference | StandIn:  # Any: a tuple out of the file
        match pid:
            case ("storage", str(dtype), key, _, int(count), *_) if dtype in ITEM_SIZES:
                return StorageReference(dtype, str(key), count)
        return StandIn()


def _tensor(storage: object, offset: Any, shape: Any, stride: Any, *_: object) -> object:  # Any: from the file
    if not isinstance(storage, StorageReference):
        return StandIn()
    return TensorReference(storage, int(offset), tuple(map(int, shape)), tuple(map(int, stride)))


def _parameter(tensor: object, *_: object) -> object:
    return tensor
