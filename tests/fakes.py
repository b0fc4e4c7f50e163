"""Stand-ins for slow or absent things, shared by all tests."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from generation.job import Job, JobChannel, Phase, PhaseChanged, Preview, Previewed, Produced, Stepped
from generation.result import GeneratedImage

PATIENCE = 20.0  # seconds after which a test that waits for something has failed


def png_of(colour: tuple[int, int, int], size: tuple[int, int] = (16, 16), infotext: str = "") -> bytes:
    """A PNG of one colour with `infotext` in its `parameters` chunk."""
    info = PngInfo()
    info.add_text("parameters", infotext)
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def jpeg_of(colour: tuple[int, int, int], size: tuple[int, int] = (16, 16)) -> bytes:
    """A JPEG of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG")
    return buffer.getvalue()


def preview_of(step: int) -> Preview:
    """A preview of that step, in a shade of grey of its own."""
    return Preview(step, jpeg_of((step % 256,) * 3))  # type: ignore[arg-type]


class Gate:
    """Holds a FakeWorker at a step: wait until it is `reached`, look around, then `open` it.

    A stop or a skip of the job lets it through too, as it would a real worker between two steps.
    """

    def __init__(self, step: int) -> None:
        self.step = step
        self._reached = threading.Event()
        self._opened = threading.Event()

    def wait_until_reached(self) -> None:
        """Blocks until the worker stands at the gate; fails the test if it never gets there."""
        assert self._reached.wait(PATIENCE), f"the worker never reached step {self.step}"

    def open(self) -> None:
        """Let the worker go on."""
        self._opened.set()

    def pass_through(self, channel: JobChannel) -> None:
        """Called by the worker."""
        self._reached.set()
        deadline = time.monotonic() + PATIENCE
        while not self._opened.wait(0.002) and not channel.stop.ends_batch:
            assert time.monotonic() < deadline, f"nobody opened the gate at step {self.step}"


@dataclass
class FakeWorker:
    """A Worker that makes small real PNGs without a model, one colour per seed, and can be told to misbehave.

    Pictures are `size` (width, height), or as large as asked for if None. `fail_with`: the exception of the next
    jobs. `previews_always`: make previews even if nobody watches.
    """

    name: str = "fake"
    step_seconds: float = 0.0
    size: tuple[int, int] | None = (16, 16)
    fail_with: BaseException | None = None
    previews_always: bool = False
    loading_fractions: tuple[float, ...] = ()
    jobs: list[Job] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    stepped: list[tuple[str, int]] = field(default_factory=list)
    on_step: Callable[[int], None] | None = None
    is_closed: bool = False
    _gates: list[Gate] = field(default_factory=list)

    def __call__(self) -> FakeWorker:
        """The instance is its own factory: `build_services(worker_factories={"fake": FakeWorker()}, ...)`."""
        self.threads.add(threading.get_ident())
        return self

    def hold_at(self, step: int) -> Gate:
        """The next job that does `step` (from 1; 0 = before the first) then waits at the returned gate."""
        gate = Gate(step)
        self._gates.append(gate)
        return gate

    def generate(self, job: Job, channel: JobChannel) -> None:
        """Emits what a real worker emits, in the same order."""
        self.threads.add(threading.get_ident())
        self.jobs.append(job)
        channel.emit(PhaseChanged(Phase.LOADING))
        for fraction in self.loading_fractions:
            channel.emit(PhaseChanged(Phase.LOADING, fraction))
        if self.fail_with is not None:
            raise self.fail_with
        for batch in range(job.request.batch_count):
            channel.stop.batch_begins()
            self._make_batch(job, channel, batch)
            if channel.stop.requested:
                return

    def close(self) -> None:
        """Remembered in `is_closed`."""
        self.threads.add(threading.get_ident())
        self.is_closed = True

    def _make_batch(self, job: Job, channel: JobChannel, batch: int) -> None:
        request = job.request
        channel.emit(PhaseChanged(Phase.ENCODING))
        channel.emit(PhaseChanged(Phase.SAMPLING))
        self._hold(0, channel)
        done = 0
        while done < request.steps and not channel.stop.ends_batch:
            if self.step_seconds:
                time.sleep(self.step_seconds)
            done += 1
            self.stepped.append((job.id, done))
            channel.emit(Stepped(done, request.steps, batch + 1, request.batch_count))
            if self.previews_always or channel.is_watched():
                shade = 255 * done // request.steps
                channel.emit(Previewed(Preview(done, jpeg_of((shade, shade, shade)))))
            if self.on_step is not None:
                self.on_step(done)
            self._hold(done, channel)
        if channel.stop.requested and not channel.stop.keep:
            return
        channel.emit(PhaseChanged(Phase.DECODING))
        for index in range(batch * request.batch_size, (batch + 1) * request.batch_size):
            channel.emit(Produced(self._picture(job, index, is_partial=done < request.steps)))

    def _picture(self, job: Job, index: int, *, is_partial: bool) -> GeneratedImage:
        request = job.request
        seed = request.seed + index
        width, height = self.size or (request.width, request.height)
        infotext = (
            f"{request.prompt}\nNegative prompt: {request.negative_prompt}\nSteps: {request.steps}, "
            f"Sampler: {request.sampler}, CFG scale: {request.cfg_scale:g}, Seed: {seed}, "
            f"Size: {width}x{height}, Model: {job.checkpoint.name}"
        )
        colour = (seed % 256, seed // 256 % 256, seed // 65536 % 256)
        png = png_of(colour, (width, height), infotext)
        return GeneratedImage(seed, infotext, width, height, png, None, request.variation_seed, is_partial)

    def _hold(self, step: int, channel: JobChannel) -> None:
        for gate in self._gates:
            if gate.step == step:
                self._gates.remove(gate)
                gate.pass_through(channel)
                return
