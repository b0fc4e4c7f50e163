"""Easel's engine beside a bare diffusers pipeline on the same random weights, in one run.

Prints time per step, with and without previews, and what a request costs outside of the networks. Makes its own
model file in a temporary folder (2 GB; `--quick`: a tiny one) and removes it. Usage:

    python -m benchmarks.overhead [--quick] [--device auto] [--dtype auto] [--steps 10] [--rounds 3] [--size 512]

The contestants take turns, so that other work on the machine hits all of them; medians are over all steps but each
picture's first, ratios over the rounds. All share one process and thereby Easel's setting of the heap.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from engine.backends.clip import clip_tokenizer
from engine.components import Components
from engine.conditioning import Conditioner
from engine.device import Placement, choose_device, choose_placement
from engine.generate import generate
from engine.heap import keep_heap
from engine.model_configs import ConfigFolder
from engine.model_plans import plan_model
from engine.pipeline_manager import PipelineManager
from engine.preview import PreviewSettings
from generation.job import Event, JobChannel, Previewed, Stepped
from generation.request import make_request
from generation.stop import Stop
from tests.model_files import SD1, TINY, card, tiny_configs, write_model

PROMPT = "a photo of a cat on a blue background"


@dataclass
class Round:
    """One picture: seconds of each step, in all, and inside the networks; how many previews were made."""

    steps: list[float]
    total: float
    inside: float
    previews: int = 0


@dataclass
class Contestant:
    """One way to make the picture, and what it took each round."""

    name: str
    make: Callable[[], Round]
    rounds: list[Round] = field(default_factory=list)

    @property
    def step(self) -> float:
        """Median seconds of a step."""
        return statistics.median(step for one in self.rounds for step in one.steps[1:])

    @property
    def outside(self) -> float:
        """Median seconds of a request outside of the networks."""
        return statistics.median(one.total - one.inside for one in self.rounds)


class NetworkTime:
    """Adds up the time between entering and leaving networks. On an accelerator, waits for it at both ends."""

    def __init__(self, networks: list[Any], device: torch.device) -> None:
        self._networks = networks
        self._device = device
        self.seconds = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """While this lasts, calls are timed."""
        self.seconds, entered, handles = 0.0, [0.0], []

        def enter(*_: object) -> None:
            entered[0] = self.now()

        def leave(*_: object) -> None:
            self.seconds += self.now() - entered[0]

        for network in self._networks:
            handles += [network.register_forward_pre_hook(enter), network.register_forward_hook(leave)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def now(self) -> float:
        """Seconds, with the device idle."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def networks_of(components: Components) -> list[Any]:
    """The modules in which the computing happens."""
    return [components.unet, components.text_encoder, components.vae.decoder]


def easel(components: Components, options: argparse.Namespace, *, watched: bool) -> Callable[[], Round]:
    """One picture by Easel's engine. A fresh conditioner each time: texts are encoded anew, as diffusers does."""
    clock = NetworkTime(networks_of(components), components.device)
    request = make_request(
        prompt=PROMPT, seed=1, steps=options.steps, width=options.size, height=options.size, sampler="Euler"
    )

    def run() -> Round:
        marks: list[float] = []
        previews = 0

        def emit(event: Event) -> None:
            nonlocal previews
            if isinstance(event, Stepped):
                marks.append(clock.now())
            previews += isinstance(event, Previewed)

        channel = JobChannel(emit, Stop(), lambda: watched)
        with clock.measured():
            start = clock.now()
            pictures = list(generate(components, request, channel, Conditioner(components), PreviewSettings()))
            total = clock.now() - start
        assert len(pictures) == 1
        return Round(_differences(start, marks), total, clock.seconds, previews)

    return run


def bare_diffusers(components: Components, options: argparse.Namespace) -> Callable[[], Round]:
    """One picture by a StableDiffusionPipeline with its Euler scheduler."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(
        vae=components.vae,
        text_encoder=components.text_encoder,
        tokenizer=components.tokenizer,
        unet=components.unet,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            timestep_spacing="linspace",
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    clock = NetworkTime(networks_of(components), components.device)

    def run() -> Round:
        marks: list[float] = []

        def on_step(pipe: Any, step: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
            marks.append(clock.now())
            return values

        with clock.measured():
            start = clock.now()
            pipeline(
                PROMPT,
                num_inference_steps=options.steps,
                guidance_scale=7.0,
                width=options.size,
                height=options.size,
                generator=torch.Generator().manual_seed(1),
                callback_on_step_end=on_step,
            )
            total = clock.now() - start
        return Round(_differences(start, marks), total, clock.seconds)

    return run


def _differences(start: float, marks: list[float]) -> list[float]:
    return [later - earlier for earlier, later in zip([start, *marks], marks, strict=False)]


def load(path: Path, placement: Placement, configs: ConfigFolder) -> Components:
    """The model file under a placement."""
    manager = PipelineManager(placement, partial(plan_model, configs=configs))
    return manager.ensure_loaded(card(path), None, JobChannel(lambda event: None, Stop(), lambda: False))


def contestants(folder: Path, options: argparse.Namespace) -> list[Contestant]:
    """All contestants, on models loaded from one file."""
    layout = TINY if options.quick else SD1
    configs = ConfigFolder(tiny_configs(folder / "configs")) if options.quick else ConfigFolder()
    path = write_model(folder / "random.safetensors", layout, dtype=torch.float16)
    tuned = choose_placement(choose_device(options.device), options.dtype)
    plain = replace(tuned, channels_last=False, gemm_attention=False)
    same = load(path, plain, configs)
    same = replace(same, tokenizer=clip_tokenizer(configs.clip_merges))
    print(f"{tuned.device}, {tuned.dtype}, {options.size}x{options.size}, {options.steps} steps, Euler, CFG 7")
    made = [
        Contestant("bare diffusers", bare_diffusers(same, options)),
        Contestant("Easel, same networks", easel(same, options, watched=False)),
    ]
    fast = same if tuned == plain else load(path, tuned, configs)
    made.append(Contestant("Easel, tuned", easel(fast, options, watched=False)))
    made.append(Contestant("Easel, tuned, previews", easel(fast, options, watched=True)))
    return made


def print_table(made: list[Contestant]) -> None:
    """A line a contestant: medians, and the ratio to the first, round by round."""
    first = made[0]
    print(f"{'':24}{'s/step':>10}{'vs diffusers':>14}{'outside s':>11}{'previews':>10}   rounds")
    for one in made:
        ratios = [
            statistics.median(mine.steps[1:]) / statistics.median(base.steps[1:])
            for mine, base in zip(one.rounds, first.rounds, strict=True)
        ]
        previews = statistics.median(item.previews for item in one.rounds)
        shown = " ".join(f"{ratio:.3f}" for ratio in ratios)
        ratio = statistics.median(ratios)
        print(f"{one.name:24}{one.step:10.4f}{ratio:14.3f}{one.outside:11.4f}{previews:10.0f}   {shown}")
    plain, watched = made[-2], made[-1]
    print(f"previews cost {100 * (watched.step / plain.step - 1):+.1f} % of a step")


def main(arguments: list[str]) -> None:
    """Runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description="Easel beside bare diffusers on the same weights.")
    parser.add_argument("--quick", action="store_true", help="a tiny model, to try the benchmark itself")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=0, help="pixels (default: 512; with --quick 64)")
    options = parser.parse_args(arguments)
    options.size = options.size or (64 if options.quick else 512)
    keep_heap()
    with tempfile.TemporaryDirectory(prefix="easel-overhead-") as folder:
        made = contestants(Path(folder), options)
        for one in made:
            one.make()  # warm-up: kernels choose their ways
        for _ in range(options.rounds):
            for one in made:
                one.rounds.append(one.make())
        print_table(made)


if __name__ == "__main__":
    main(sys.argv[1:])
