"""The training loop's shared parts: budget, learning rate, moving average, checkpoints, progress lines."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .optimizer import build_optimizer
from .presets import StageSettings

log = logging.getLogger(__name__)
CHECKPOINT_EVERY_SECONDS = 240.0
LOG_EVERY_SECONDS = 20.0


@dataclass
class Budget:
    """How much of a stage is done, by steps and by minutes, whichever is further; survives restarts."""

    settings: StageSettings
    step: int = 0
    seconds: float = 0.0
    _started: float = field(default_factory=time.monotonic)

    def tick(self) -> None:
        """Counts one step and the time since the last one."""
        now = time.monotonic()
        self.step += 1
        self.seconds += now - self._started
        self._started = now

    @property
    def fraction(self) -> float:
        """0 at the start, 1 when the stage is over."""
        return min(1.0, max(self.step / self.settings.steps, self.seconds / (60 * self.settings.minutes)))

    @property
    def learning_rate(self) -> float:
        """Linear warm-up, then half a cosine down to zero at the end of the budget."""
        warm = min(1.0, (self.step + 1) / self.settings.warmup_steps)
        return self.settings.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * self.fraction))


class MovingAverage:
    """An exponential moving average of a network's weights; young averages forget faster."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Moves the average towards the present weights."""
        decay = min(self.decay, (1 + step) / (10 + step))
        pairs = [
            (self.weights[name], value) for name, value in module.state_dict().items() if value.is_floating_point()
        ]
        torch._foreach_lerp_([pair[0] for pair in pairs], [pair[1] for pair in pairs], 1 - decay)


@dataclass
class Run:
    """One network being trained, with everything a restart needs."""

    network: nn.Module
    settings: StageSettings
    file: Path
    optimizer: torch.optim.Optimizer
    average: MovingAverage
    budget: Budget

    @classmethod
    def start(cls, network: nn.Module, settings: StageSettings, file: Path) -> "Run":
        """A fresh run, or the one saved in `file` continued."""
        optimizer = build_optimizer(network, settings.learning_rate)
        run = cls(network, settings, file, optimizer, MovingAverage(network, settings.ema_decay), Budget(settings))
        if file.exists():
            saved = torch.load(file, map_location=next(network.parameters()).device, weights_only=True)
            network.load_state_dict(saved["network"])
            optimizer.load_state_dict(saved["optimizer"])
            run.average.weights = saved["average"]
            run.budget.step, run.budget.seconds = saved["step"], saved["seconds"]
            log.info("%s: continuing at step %d", file.stem, run.budget.step)
        return run

    def save(self) -> None:
        """Writes the checkpoint; a crash while writing leaves the old one whole."""
        partial = self.file.with_suffix(".partial")
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.weights,
            "step": self.budget.step,
            "seconds": self.budget.seconds,
        }
        torch.save(state, partial)
        partial.replace(self.file)

    def step(self, loss: torch.Tensor) -> None:
        """One optimizer step on `loss`."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.budget.learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.average.update(self.network, self.budget.step)
        self.budget.tick()


def train(run: Run, loss_at: Callable[[int], torch.Tensor], on_checkpoint: Callable[[], None]) -> None:
    """Steps until the budget is spent; `loss_at(step)` depends on nothing but the step and the weights."""
    saved_at = logged_at = time.monotonic()
    smooth = None
    while run.budget.fraction < 1:
        loss = loss_at(run.budget.step)
        run.step(loss)
        value = loss.detach()
        smooth = value if smooth is None else smooth * 0.98 + value * 0.02
        now = time.monotonic()
        if now - logged_at > LOG_EVERY_SECONDS:
            logged_at = now
            report(run, float(smooth))
        if now - saved_at > CHECKPOINT_EVERY_SECONDS:
            saved_at = now
            run.save()
            on_checkpoint()
    run.save()
    on_checkpoint()


def report(run: Run, loss: float) -> None:
    """The progress line."""
    budget = run.budget
    rate = budget.step * run.settings.batch_size / max(budget.seconds, 1e-6)
    log.info(
        "%s: %3.0f %% step %d loss %.4f lr %.1e %.1f pictures/s",
        run.file.stem,
        100 * budget.fraction,
        budget.step,
        loss,
        budget.learning_rate,
        rate,
    )


@contextmanager
def autocast(device: torch.device) -> Iterator[None]:
    """bfloat16, far faster than float32 on both kinds of device; plain attention on the CPU.

    On short sequences the CPU's fused attention is slow on the way back.
    """
    backends = (
        [SDPBackend.MATH]
        if device.type == "cpu"
        else [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    )
    with torch.autocast(device.type, torch.bfloat16), sdpa_kernel(backends):
        yield
