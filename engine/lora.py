"""LoRAs and their kin, added into the weights and taken out again bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.checkpoint_file import open_weights
from engine.lora_math import bias_change, weight_change
from engine.lora_names import lora_family, split_name, text_targets, unet_targets
from engine.tensor_reader import TensorReader
from engine.weights_file import WeightsFile, unusable
from generation.lora_use import LoraUse

OTHER_LORA = "Choose a LoRA made for this model's family."


@dataclass(frozen=True, slots=True)
class _Lora:
    """A LoRA file matched to the networks: target -> part -> name in the file."""

    file: WeightsFile
    targets: Mapping[str, Mapping[str, str]]
    warning: str


@dataclass(frozen=True, slots=True)
class _Source:
    """A LoRA in use, open for reading."""

    use: LoraUse
    lora: _Lora
    reader: TensorReader

    def strength(self, layer: str) -> float:
        """How strongly it changes that layer."""
        return self.use.unet_strength if layer.startswith("unet") else self.use.text_strength

    def changes(self, layer: str) -> bool:
        """True if it has something to add to that layer."""
        return layer in self.lora.targets and self.strength(layer) != 0

    def parts(self, layer: str) -> dict[str, Tensor]:
        """What the file holds for that layer, in float32."""
        return {part: self.reader[key].float() for part, key in self.lora.targets[layer].items()}


_Stamp = tuple[str, int, float, float, int | None]


def _state(uses: Sequence[LoraUse]) -> tuple[_Stamp, ...]:
    """What the weights depend on: an overwritten file counts as another one."""
    return tuple(
        (str(use.path), _modified(use.path), use.unet_strength, use.text_strength, use.rank)
        for use in uses
        if use.has_effect
    )


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


class LoraMerger:
    """Owns what LoRAs have changed in one U-Net and one text encoder.

    Changes are computed in float32 from a copy of the untouched weights and written in place, so that addresses
    stay, sampling costs nothing more, and taking them out gives the very same bits back.
    """

    def __init__(self, unet: nn.Module, text_encoder: nn.Module) -> None:
        self._layers = _layers("unet", unet) | _layers("text", text_encoder)
        self._targets = _target_names(unet, text_encoder)
        self._untouched: dict[str, tuple[Tensor, Tensor | None]] = {}
        self._uses: tuple[LoraUse, ...] = ()
        self._state: tuple[_Stamp, ...] = ()
        self._warnings: tuple[str, ...] = ()

    @property
    def uses(self) -> tuple[LoraUse, ...]:
        """What is merged now. LoRAs that change nothing are not among it."""
        return self._uses

    def has(self, uses: Sequence[LoraUse]) -> bool:
        """True if the weights are already as `merge` would make them."""
        return self._state == _state(uses)

    def merge(self, uses: Sequence[LoraUse], check: Callable[[], None] = lambda: None) -> list[str]:
        """Makes exactly these LoRAs active, in place of those before; returns warnings for people.

        All files are checked before anything is changed. `check` is called between layers; whatever it raises
        takes all LoRAs out. Raises ModelFileError for a file that is none, or of which not one key matches.
        """
        if self.has(uses):
            return list(self._warnings)
        state, active = _state(uses), [use for use in uses if use.has_effect]
        loras = [self._matched(use.path) for use in active]
        check()
        self.restore()
        sources = [_Source(use, lora, TensorReader(lora.file)) for use, lora in zip(active, loras, strict=True)]
        try:
            for layer in sorted({layer for lora in loras for layer in lora.targets}):
                check()
                self._change(layer, [source for source in sources if source.changes(layer)])
        except BaseException:
            self.restore()
            raise
        self._uses, self._state = tuple(active), state
        self._warnings = tuple(lora.warning for lora in loras if lora.warning)
        return list(self._warnings)

    def restore(self) -> None:
        """Gives every changed weight its old bits back."""
        for name, (weight, bias) in self._untouched.items():
            layer = self._layers[name]
            layer.weight.data.copy_(weight)
            if bias is not None:
                layer.bias.data.copy_(bias)
        self._untouched.clear()
        self._uses, self._state, self._warnings = (), (), ()

    def _matched(self, path: Path) -> _Lora:
        file = open_weights(path)
        groups: dict[str, dict[str, str]] = {}
        for name in file.tensors:
            if split := split_name(name):
                groups.setdefault(split[0], {})[split[1]] = name
        if not groups:
            raise unusable(path, "is not a LoRA", "Choose another file.")
        known = {self._targets[name]: parts for name, parts in groups.items() if name in self._targets}
        targets = {layer: parts for layer, parts in known.items() if self._fits(layer, parts, file)}
        if not targets or _is_for_other_texts(known, targets):
            family = lora_family(file.shapes)
            kind = f"this LoRA is for {family}" if family else "this LoRA is for another kind of model"
            what = f"does not fit: {len(targets)} of {len(groups)} keys match; {kind}"
            raise unusable(path, what, OTHER_LORA)
        missed = len(groups) - len(targets)
        warning = f"{path.name}: only {len(targets)} of {len(groups)} keys match this model." if missed else ""
        return _Lora(file, targets, warning)

    def _fits(self, layer: str, parts: Mapping[str, str], file: WeightsFile) -> bool:
        """True if the change would have the layer's shape. Tried on tensors without memory."""
        ghosts = {part: torch.empty(file.tensors[name].shape, device="meta") for part, name in parts.items()}
        ghosts |= {part: torch.ones(()) for part in ("alpha",) if part in ghosts}
        weight = torch.empty(self._layers[layer].weight.shape, device="meta")
        try:
            if "alpha" in parts and file.tensors[parts["alpha"]].shape not in ((), (1,)):
                return False
            changed = _ghost_change(ghosts, weight)
        except (RuntimeError, ValueError, KeyError, IndexError, NotImplementedError):
            return False
        return changed is not None or "diff_b" in parts

    def _change(self, name: str, sources: Sequence[_Source]) -> None:
        if not sources:
            return
        layer = self._layers[name]
        weight, bias = layer.weight.data, None if layer.bias is None else layer.bias.data
        sum_weight, sum_bias = torch.zeros_like(weight, dtype=torch.float32), None
        for source in sources:
            parts, strength = source.parts(name), source.strength(name)
            if (change := weight_change(parts, weight, strength, source.use.rank)) is not None:
                sum_weight += change
            if bias is not None and (change := bias_change(parts, strength)) is not None:
                sum_bias = change.to(bias.device) + (0 if sum_bias is None else sum_bias)
        self._untouched[name] = (
            weight.cpu().clone(),
            None if bias is None or sum_bias is None else bias.cpu().clone(),
        )
        weight.copy_(weight.float() + sum_weight)
        if bias is not None and sum_bias is not None:
            bias.copy_(bias.float() + sum_bias)


def _is_for_other_texts(known: Mapping[str, object], fitting: Mapping[str, object]) -> bool:
    """True if the layers that read the text are all of another width: then it is made for another family, though
    layers that look only at the picture may fit by chance."""
    readers = [layer for layer in known if layer.endswith((".attn2.to_k", ".attn2.to_v"))]
    return bool(readers) and not any(layer in fitting for layer in readers)


def _ghost_change(parts: Mapping[str, Tensor], weight: Tensor) -> Tensor | None:
    if "oft_blocks" in parts:
        count, side, other = parts["oft_blocks"].shape
        if side != other or count * side != weight.shape[0]:
            raise ValueError("blocks do not fit")
        return weight
    return weight_change({name: part for name, part in parts.items() if name != "alpha"}, weight, 1.0)


def _layers(prefix: str, network: nn.Module) -> dict[str, Any]:  # Any: layers with weight and bias
    kinds = (nn.Linear, nn.Conv2d, nn.LayerNorm, nn.GroupNorm)
    return {f"{prefix}.{name}": layer for name, layer in network.named_modules() if isinstance(layer, kinds)}


def _target_names(unet: nn.Module, text_encoder: nn.Module) -> dict[str, str]:
    """Every name a file may use -> our name of the layer."""
    config: Any = unet.config  # diffusers' table of settings
    layers = config.layers_per_block if isinstance(config.layers_per_block, int) else config.layers_per_block[0]
    has_attention = {number: "CrossAttn" in kind for number, kind in enumerate(config.up_block_types)}
    in_unet = [name.removeprefix("unet.") for name in _layers("unet", unet)]
    in_text = [name.removeprefix("text.") for name in _layers("text", text_encoder)]
    targets = {name: f"unet.{layer}" for name, layer in unet_targets(in_unet, layers, has_attention).items()}
    return targets | {name: f"text.{layer}" for name, layer in text_targets(in_text).items()}
