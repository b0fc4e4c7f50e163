"""A model about to be loaded: everything is checked against the files' headers before a weight is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.components import LatentFormat
from engine.device import Placement
from engine.tensor_reader import TensorReader
from engine.weights_file import WeightsFile, unusable
from generation.model_card import ModelCard

FLOATS = frozenset(("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"))


class LoadingStopped(Exception):
    """The job was stopped while its model was being loaded."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where one weight comes from: a tensor of a file, or a third of one (`rows`), or its transpose."""

    file: WeightsFile
    name: str
    rows: tuple[int, int] | None = None
    transposed: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape after rows and transposition."""
        shape = self.file.tensors[self.name].shape
        if self.rows:
            shape = (self.rows[1] - self.rows[0], *shape[1:])
        return tuple(reversed(shape)) if self.transposed else shape


@dataclass(frozen=True, slots=True)
class PartPlan:
    """One network to load: `skeleton` has its structure without memory, `sources` a checked place for each weight.

    Equal `identity` means equal weights, equal `structure` means that one fits into the memory of the other.
    """

    skeleton: nn.Module
    sources: Mapping[str, Source]
    identity: tuple[object, ...]
    structure: str

    @property
    def size(self) -> int:
        """Bytes to read."""
        return sum(source.file.tensors[source.name].size for source in self.sources.values())


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A whole model to load, checked."""

    card: ModelCard
    unet: PartPlan
    text_encoder: PartPlan
    vae: PartPlan
    make_tokenizer: Callable[[], Any]  # a transformers tokenizer: untyped
    alphas_cumprod: Tensor
    prediction_type: str | None  # None: the files do not say
    latent_format: LatentFormat


def plan_part(
    path: Path, title: str, skeleton: nn.Module, sources: Mapping[str, Source], structure: str
) -> PartPlan:
    """A plan for one network. Raises ModelFileError if weights are missing or of another shape.

    `title` names the part in messages; weights in the files that the network does not have are left alone.
    """
    wanted = skeleton.state_dict()
    missing = sorted(wanted.keys() - sources.keys())
    if missing:
        share = f"{len(missing)} of {len(wanted)} weights of the {title}"
        raise unusable(path, f"lacks {share}, for example {missing[0]!r}")
    for name, tensor in wanted.items():
        _check_source(path, title, name, sources[name], tuple(tensor.shape))
    used = {name: sources[name] for name in wanted}
    files = sorted({(str(s.file.path), s.file.size, s.file.modified) for s in used.values()})
    anchor = min(source.name for source in used.values())
    return PartPlan(skeleton, used, (*files, anchor), structure)


def _check_source(path: Path, title: str, name: str, source: Source, shape: tuple[int, ...]) -> None:
    if _bare(source.shape) != _bare(shape):
        shapes = f"{list(source.shape)} instead of {list(shape)}"
        raise unusable(path, f"has a {title} of another build: {name!r} is {shapes}", "Choose another model.")
    dtype = source.file.tensors[source.name].dtype
    if dtype not in FLOATS:
        hint = "Choose a version of the model in fp16, bf16 or fp32."
        raise unusable(path, f"keeps its weights as {dtype} numbers, which Easel does not read", hint)


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    """1x1 convolutions and linear layers hold the same numbers; old and new files differ in that."""
    return shape[:2] if len(shape) == 4 and shape[2:] == (1, 1) else shape


def load_part(
    plan: PartPlan,
    placement: Placement,
    dtype: torch.dtype,
    *,
    into: nn.Module | None = None,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> nn.Module:
    """The network with its weights, on the device.

    The skeleton takes new tensors over as they are; no second copy of a network is ever made (prototype of this
    design, fp16 file of SD 1.5 size to bf16 on 2 cores, file in the page cache: 0.98 s). With `into`, a network of
    the same structure that is no longer needed, the numbers go into its memory instead (same prototype: 0.48 s).
    Raises ModelFileError if a file changed or vanished; `on_bytes` may raise to stop.
    """
    readers = {file.path: TensorReader(file) for file in _files(plan.sources.values())}
    existing = into.state_dict() if into is not None else {}
    fresh: dict[str, Tensor] = {}
    for name, skeleton in plan.skeleton.state_dict().items():
        source = plan.sources[name]
        target = existing.get(name)
        if target is None:
            target = fresh[name] = _room(tuple(skeleton.shape), dtype, placement)
        target.copy_(_read(readers[source.file.path], source, tuple(skeleton.shape)))
        on_bytes(source.file.tensors[source.name].size)
    if into is not None:
        return into
    plan.skeleton.load_state_dict(fresh, strict=True, assign=True)
    return plan.skeleton.to(placement.device).requires_grad_(False).eval()


def _files(sources: Iterable[Source]) -> Iterable[WeightsFile]:
    return {source.file.path: source.file for source in sources}.values()


def _read(reader: TensorReader, source: Source, shape: tuple[int, ...]) -> Tensor:
    tensor = reader[source.name]
    if source.rows:
        tensor = tensor[source.rows[0] : source.rows[1]]
    return (tensor.t() if source.transposed else tensor).reshape(shape)


def _room(shape: tuple[int, ...], dtype: torch.dtype, placement: Placement) -> Tensor:
    is_convolution = len(shape) == 4 and placement.channels_last
    memory_format = torch.channels_last if is_convolution else torch.contiguous_format
    return torch.empty(shape, dtype=dtype, device=placement.device, memory_format=memory_format)
