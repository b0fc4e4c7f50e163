"""Files of weights are judged by their inside, and bad ones refused before anything is allocated."""

from __future__ import annotations

import io
import os
import pickle
import resource
import struct
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.checkpoint_file import open_weights
from engine.tensor_reader import TensorReader
from generation.errors import ModelFileError
from tests.model_files import entry, write_safetensors_header

WEIGHTS = {
    "a.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "b.half": torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).half(),
    "c.bf16": torch.randn(7, generator=torch.Generator().manual_seed(1)).bfloat16(),
    "d.numbers": torch.arange(77)[None],
    "e.nothing": torch.zeros(0, 4),
    "f.scalar": torch.tensor(2.5),
}


def read(path: Path) -> dict[str, torch.Tensor]:
    file = open_weights(path)
    reader = TensorReader(file)
    return {name: reader[name].clone() for name in file.tensors}


def assert_same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def refusal(path: Path) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        open_weights(path)
    assert path.name in caught.value.message, "the message must name the file"
    assert caught.value.hint, "the message must say what to do"
    return caught.value


def test_safetensors_are_read_exactly(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "w.safetensors", {"modelspec.title": "x"})
    assert_same(read(tmp_path / "w.safetensors"), WEIGHTS)
    assert open_weights(tmp_path / "w.safetensors").metadata == {"modelspec.title": "x"}


@pytest.mark.parametrize("padding", range(4))
def test_weights_at_any_alignment_are_read_exactly(tmp_path: Path, padding: int) -> None:
    header = b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' + b" " * padding
    path = write_safetensors_header(tmp_path / "w.safetensors", header, struct.pack("<2f", 1.5, -2.0))
    assert read(path)["x"].tolist() == [1.5, -2.0]


@pytest.mark.parametrize("legacy", [False, True])
def test_pytorch_files_are_read_exactly(tmp_path: Path, legacy: bool) -> None:
    torch.save({"state_dict": WEIGHTS, "epoch": 3}, tmp_path / "w.ckpt", _use_new_zipfile_serialization=not legacy)
    assert_same(read(tmp_path / "w.ckpt"), WEIGHTS)


@pytest.mark.parametrize("legacy", [False, True])
def test_views_parameters_and_shared_storages_are_read_exactly(tmp_path: Path, legacy: bool) -> None:
    base = torch.randn(6, 4, generator=torch.Generator().manual_seed(2))
    content = {"whole": base, "rows": base[2:4], "turned": base.t(), "p": torch.nn.Parameter(base[1:2])}
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=not legacy)
    found = read(tmp_path / "w.pt")
    for name, tensor in content.items():
        assert torch.equal(found[name], tensor.detach()), name


def test_the_suffix_does_not_matter(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "really_safetensors.ckpt")
    torch.save(WEIGHTS, tmp_path / "really_pickle.safetensors")
    assert_same(read(tmp_path / "really_safetensors.ckpt"), WEIGHTS)
    assert_same(read(tmp_path / "really_pickle.safetensors"), WEIGHTS)


HUGE = 2**63 - 1


@pytest.mark.parametrize(
    ("header", "data", "words"),
    [
        (b"{not json", b"", "not readable"),
        (b"{" + b'"a":{' * 100_000, b"", "not readable"),
        ({"a": entry([2], 0, 8)}, b"1234", "cut off"),
        ({"a": entry([1], 0, 4)}, b"12345", "too many"),
        ({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, b"1234", "overlap"),
        ({"a": entry([1], 4, 8)}, b"12345678", "gaps"),
        ({"a": entry([2], 0, 4)}, b"1234", "do not fit"),
        ({"a": entry([2**40, 2**40], 0, 4)}, b"1234", "no valid shape"),
        ({"a": entry([-1], 0, 4)}, b"1234", "no valid shape"),
        ({"a": entry([1], -4, 0)}, b"1234", "no place"),
        ({"a": entry([1], 0, 1, "E9")}, b"1", "does not know"),
        ({"a": "text"}, b"", "no place"),
        ({f"t{n}": entry([0], 0, 0) for n in range(20_001)}, b"", "20,001 tensors"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_inconsistent_safetensors_are_refused(tmp_path: Path, header: object, data: bytes, words: str) -> None:
    path = write_safetensors_header(tmp_path / "bad.safetensors", header, data)
    assert words in refusal(path).message


@pytest.mark.parametrize("length", [2**63, 200_000_000, 32 * 2**20 + 1])
def test_a_huge_header_is_refused_without_reading_it(tmp_path: Path, length: int) -> None:
    (tmp_path / "bad.safetensors").write_bytes(struct.pack("<Q", length) + b'{"a"')
    assert "header" in refusal(tmp_path / "bad.safetensors").message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>login", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git-lfs"),
        (b"GGUF\x03\x00\x00\x00", "GGUF"),
        (b"\x1f\x8b\x08\x00", "archive"),
        (b"some text that is no model", "no known format"),
    ],
)
def test_files_that_are_no_models_are_called_by_their_name(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    assert words in refusal(tmp_path / "x.safetensors").message


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
def test_truncated_pytorch_files_are_refused(tmp_path: Path, legacy: bool, share: float) -> None:
    torch.save(WEIGHTS, tmp_path / "whole.ckpt", _use_new_zipfile_serialization=not legacy)
    whole = (tmp_path / "whole.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[: int(len(whole) * share)])
    refusal(tmp_path / "cut.ckpt")


class Command:
    """Runs a command when unpickled by a naive program."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


def zip_with_pickle(path: Path, program: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/data/0", b"\0" * 16)
    return path


@pytest.mark.parametrize("legacy", [False, True])
def test_a_program_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path, legacy: bool) -> None:
    trace = tmp_path / "was_here"
    content = {"state_dict": WEIGHTS, "payload": Command(f"touch {trace}")}
    torch.save(content, tmp_path / "evil.ckpt", _use_new_zipfile_serialization=not legacy)
    error = refusal(tmp_path / "evil.ckpt")
    assert "contains a program (posix.system)" in error.message
    assert not trace.exists()


@pytest.mark.parametrize(
    "program",
    [
        pickle.dumps(Command("true"), protocol=4),  # names built on the stack
        b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.",
        b"\x80\x02(cos\nsystem\nX\x04\x00\x00\x00trueo.",
        b"(S'true'\nios\nsystem\n.",
        b"\x80\x02ctorch.hub\nload\n.",
        b"\x80\x02cnumpy\nload\n.",
        b"\x80\x02\x82\x01.",  # extension registry
    ],
    ids=["stack global", "eval", "obj", "inst", "torch.hub", "numpy.load", "ext1"],
)
def test_all_ways_of_naming_a_program_are_refused(tmp_path: Path, program: bytes) -> None:
    refusal(zip_with_pickle(tmp_path / "evil.ckpt", program))


def peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02cbuiltins\nbytearray\nJ\x00\x00\x00\x40\x85R.",  # bytearray(2**30)
        b"\x80\x05\x96" + struct.pack("<Q", 2**33) + b".",  # BYTEARRAY8
        b"\x80\x04\x8e" + struct.pack("<Q", 2**33) + b".",  # BINBYTES8
        b"\x80\x02Nr\x00\x00\x00\x20.",  # memo slot 2**29
    ],
    ids=["bytearray call", "bytearray8", "binbytes8", "memo"],
)
def test_a_small_pickle_cannot_ask_for_much_memory(tmp_path: Path, program: bytes) -> None:
    path = zip_with_pickle(tmp_path / "bomb.ckpt", program)
    before = peak_memory()
    refusal(path)
    assert peak_memory() - before < 100 * 2**20


def test_a_tensor_that_shows_its_numbers_a_million_times_is_refused(tmp_path: Path) -> None:
    torch.save({"bomb": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "bomb.ckpt")
    assert "claims more weights" in refusal(tmp_path / "bomb.ckpt").message


def test_overlapping_windows_are_refused(tmp_path: Path) -> None:
    torch.save({"bomb": torch.zeros(1000).as_strided((900, 100), (1, 1))}, tmp_path / "bomb.ckpt")
    assert "claims more weights" in refusal(tmp_path / "bomb.ckpt").message


def test_compressed_archives_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(WEIGHTS, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(tmp_path / "z.ckpt", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert "compressed" in refusal(tmp_path / "z.ckpt").message


def test_a_zip_file_with_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pictures.ckpt", "w") as archive:
        archive.writestr("holiday.jpg", b"jpeg")
    assert "not one that PyTorch wrote" in refusal(tmp_path / "pictures.ckpt").message


def lightning_checkpoint(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint with what PyTorch Lightning leaves in it: a class of its own and numbers of numpy."""
    name = "pytorch_lightning.callbacks.model_checkpoint"
    kind = type("ModelCheckpoint", (), {"__module__": name})
    for module in ("pytorch_lightning", "pytorch_lightning.callbacks", name):
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    monkeypatch.setattr(sys.modules[name], "ModelCheckpoint", kind, raising=False)
    callbacks = {kind: {"best_model_score": np.float64(0.5), "monitor": "val"}, "other": kind()}
    torch.save({"state_dict": WEIGHTS, "callbacks": callbacks, "loss": np.arange(3)}, path)
    return path


def test_checkpoints_of_pytorch_lightning_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lightning_checkpoint(tmp_path / "l.ckpt", monkeypatch)
    monkeypatch.undo()
    assert_same(read(path), WEIGHTS)


def test_a_missing_file_is_an_error_for_people(tmp_path: Path) -> None:
    assert "no longer there" in refusal(tmp_path / "gone.safetensors").message


def test_a_file_that_changed_after_its_check_is_not_read(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "w.safetensors")
    file = open_weights(tmp_path / "w.safetensors")
    os.truncate(tmp_path / "w.safetensors", 100)
    with pytest.raises(ModelFileError, match="changed while"):
        TensorReader(file)
