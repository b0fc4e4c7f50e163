"""The loaded model: loads, swaps and frees it. One model at a time, owned by one thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from engine.attention import use_gemm_attention
from engine.components import Components
from engine.conditioning import Conditioner
from engine.device import Memory, Placement, free_memory, is_out_of_memory, memory_of, out_of_memory
from engine.load_plan import LoadingStopped, ModelPlan, PartPlan, load_part
from engine.lora import LoraMerger
from engine.model_plans import plan_model
from engine.prediction import measured_prediction
from generation.errors import ModelFileError
from generation.job import JobChannel, Phase, PhaseChanged, Warned
from generation.lora_use import LoraUse
from generation.model_card import ModelCard

log = logging.getLogger(__name__)

Planner = Callable[[ModelCard, ModelCard | None], ModelPlan]


@dataclass(slots=True)
class _Part:
    """A loaded network and what it was loaded from."""

    plan: PartPlan
    network: nn.Module


class PipelineManager:
    """Keeps one model on the device. Every method must be called from the thread that made the manager."""

    def __init__(self, placement: Placement, plan: Planner = plan_model) -> None:
        self._placement = placement
        self._plan = plan
        self._owner = threading.get_ident()
        self._parts: dict[str, _Part] = {}
        self._wanted: tuple[object, ...] | None = None
        self._components: Components | None = None
        self._conditioner: Conditioner | None = None
        self._merger: LoraMerger | None = None

    @property
    def placement(self) -> Placement:
        """Where models are put."""
        return self._placement

    @property
    def loaded(self) -> ModelCard | None:
        """The checkpoint in memory, if any."""
        return self._components.card if self._components else None

    @property
    def memory(self) -> Memory:
        """Free and used memory now."""
        return memory_of(self._placement.device)

    def ensure_loaded(self, card: ModelCard, vae: ModelCard | None, channel: JobChannel) -> Components:
        """The checkpoint, with `vae` in place of its own if given, loaded if it is not already.

        Everything that can be known from the files' headers is checked before the model in memory is touched, so
        a wrong, damaged or malicious file leaves that one usable. Progress goes over the channel. Raises
        ModelFileError, OutOfMemory, or LoadingStopped when the job was stopped meanwhile.
        """
        self._check_thread()
        wanted = (_stamp(card), _stamp(vae) if vae else None)
        if self._components is not None and self._wanted == wanted:
            return self._components
        channel.emit(PhaseChanged(Phase.LOADING, 0.0))
        started = time.perf_counter()
        plan = self._plan(card, vae)
        _raise_if_stopped(channel)
        tokenizer = plan.make_tokenizer()
        self._components, self._conditioner, self._wanted = None, None, None
        self._take_loras_out()
        try:
            self._load_parts(plan, channel)
        except (ModelFileError, LoadingStopped):
            raise
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self.unload()
            raise out_of_memory(self._placement.device, f"loading {card.title}") from None
        self._components = self._assembled(plan, tokenizer)
        self._wanted = wanted
        log.info("loaded %s on %s in %.1f s", card.title, self._placement.device, time.perf_counter() - started)
        return self._components

    def use_loras(self, uses: Sequence[LoraUse], channel: JobChannel) -> None:
        """Makes exactly these LoRAs active in the loaded model; an empty list takes all out, bit for bit.

        A LoRA that fits only in part is told over the channel, to every job that uses it. Raises ModelFileError,
        before anything is changed, for a file that is no LoRA or of which not one key matches. OutOfMemory, and
        LoadingStopped when the job was stopped meanwhile, may leave the model without any LoRA, never with a part.
        """
        self._check_thread()
        if self._components is None:
            raise RuntimeError("no model is loaded")
        if self._merger is None:
            self._merger = LoraMerger(self._components.unet, self._components.text_encoder)
        if not self._merger.has(uses):
            self._conditioner = None  # what it remembers was encoded with other weights
            if uses:
                channel.emit(PhaseChanged(Phase.LOADING))
        try:
            warnings = self._merger.merge(uses, lambda: _raise_if_stopped(channel))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise out_of_memory(self._placement.device, "adding LoRAs") from None
        for warning in warnings:
            channel.emit(Warned(warning))

    def _take_loras_out(self) -> None:
        if self._merger is not None:
            self._merger.restore()
            self._merger = None

    @property
    def conditioner(self) -> Conditioner:
        """Encodes prompts for the loaded model and remembers them while it stays loaded."""
        if self._components is None:
            raise RuntimeError("no model is loaded")
        if self._conditioner is None:
            self._conditioner = Conditioner(self._components)
        return self._conditioner

    def unload(self) -> None:
        """Frees the model."""
        self._check_thread()
        self._components, self._conditioner, self._wanted, self._merger = None, None, None, None
        self._parts.clear()
        free_memory(self._placement.device)

    def _check_thread(self) -> None:
        if threading.get_ident() != self._owner:
            raise RuntimeError("the pipeline manager belongs to another thread")

    def _load_parts(self, plan: ModelPlan, channel: JobChannel) -> None:
        """Loads the networks that are not in memory yet, the largest last."""
        wanted = {"vae": plan.vae, "text_encoder": plan.text_encoder, "unet": plan.unet}
        todo = {name: part for name, part in wanted.items() if not self._has(name, part)}
        self._free_misfits(todo)
        progress = _Progress(channel, sum(part.size for part in todo.values()))
        for name, part in todo.items():
            _raise_if_stopped(channel)
            self._load(name, part, progress)

    def _has(self, name: str, plan: PartPlan) -> bool:
        known = self._parts.get(name)
        return (
            known is not None and known.plan.identity == plan.identity and known.plan.structure == plan.structure
        )

    def _free_misfits(self, todo: Mapping[str, PartPlan]) -> None:
        """Frees networks that are to be replaced by ones of another structure, before those take memory."""
        misfits = [
            name
            for name, part in todo.items()
            if name in self._parts and self._parts[name].plan.structure != part.structure
        ]
        for name in misfits:
            del self._parts[name]
        if misfits:
            free_memory(self._placement.device)

    def _load(self, name: str, plan: PartPlan, progress: _Progress) -> None:
        old = self._parts.pop(name, None)  # from here on until it is loaded it is neither
        into = old.network if old is not None else None
        dtype = self._placement.vae_dtype if name == "vae" else self._placement.dtype
        network = load_part(plan, self._placement, dtype, into=into, on_bytes=progress.add)
        if self._placement.gemm_attention and name != "text_encoder":
            use_gemm_attention(network)
        self._parts[name] = _Part(plan, network)

    def _assembled(self, plan: ModelPlan, tokenizer: Any) -> Components:  # Any: transformers is untyped
        return Components(
            card=plan.card,
            tokenizer=tokenizer,
            text_encoder=self._parts["text_encoder"].network,
            unet=self._parts["unet"].network,
            vae=self._parts["vae"].network,
            alphas_cumprod=plan.alphas_cumprod,
            device=self._placement.device,
            dtype=self._placement.dtype,
            vae_dtype=self._placement.vae_dtype,
            prediction_type=plan.prediction_type or self._measured_prediction(),
            latent_format=plan.latent_format,
        )

    def _measured_prediction(self) -> str:
        unet: Any = self._parts["unet"].network  # diffusers' U-Net
        return measured_prediction(unet, self._placement)


class _Progress:
    """Tells the channel how much of the weights is read, and reads from it whether to go on."""

    def __init__(self, channel: JobChannel, total: int) -> None:
        self._channel = channel
        self._total = max(total, 1)
        self._done = 0
        self._told = 0.0

    def add(self, count: int) -> None:
        """Another `count` bytes are loaded. Raises LoadingStopped if the job was stopped."""
        _raise_if_stopped(self._channel)
        self._done += count
        fraction = self._done / self._total
        if fraction - self._told >= 0.02 or self._done >= self._total:
            self._told = fraction
            self._channel.emit(PhaseChanged(Phase.LOADING, min(fraction, 1.0)))


def _raise_if_stopped(channel: JobChannel) -> None:
    if channel.stop.requested:
        raise LoadingStopped


def _stamp(card: ModelCard) -> tuple[object, ...]:
    """What changes when the model behind a card does: its place and, if it is still there, its time."""
    try:
        target = card.path / "model_index.json" if card.path.is_dir() else card.path
        return str(card.path), target.stat().st_mtime_ns, card.defaults
    except OSError:
        return str(card.path), 0, card.defaults
