from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from engine.components import LatentFormat
from engine.preview import Previewer, PreviewSettings, latents_to_rgb, preview_image
from tests.engine import tiny

IDENTITY = LatentFormat(rgb_factors=((1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)))


class Clock:
    """Advances by `tick` seconds at every look."""

    def __init__(self, tick: float = 0.0) -> None:
        self.now = 0.0
        self.tick = tick

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


def offers(previewer: Previewer, clock: Clock, steps: int, seconds_per_step: float) -> None:
    for step in range(1, steps + 1):
        clock.now += seconds_per_step
        previewer.offer(step, torch.zeros(1, 4, 8, 8))


def test_latents_become_colours_by_the_matrix_of_the_format():
    latents = torch.zeros(1, 4, 1, 2)
    latents[0, :, 0, 0] = torch.tensor([1.0, -1.0, 0.0, 9.0])
    latents[0, 0, 0, 1] = 5.0  # out of range
    assert latents_to_rgb(latents, IDENTITY)[0, 0].tolist() == [[255, 0, 127], [255, 127, 127]]


@pytest.mark.parametrize(
    ("count", "height", "width", "size"),
    [
        (1, 8, 8, (512, 512)),
        (4, 8, 8, (512, 512)),
        (2, 8, 16, (512, 512)),
        (2, 16, 8, (512, 512)),
        (3, 8, 8, (512, 512)),
        (1, 8, 16, (512, 256)),
    ],
)
def test_a_batch_is_shown_as_a_grid(count: int, height: int, width: int, size: tuple[int, int]):
    assert preview_image(torch.zeros(count, 4, height, width), IDENTITY, 512).size == size


def test_pictures_of_the_grid_are_in_reading_order():
    latents = torch.full((4, 4, 2, 2), -1.0)
    latents[1] = 1.0
    grid = preview_image(latents, IDENTITY, 4)
    assert grid.getpixel((3, 0)) == (255, 255, 255)
    assert grid.getpixel((0, 3)) == (0, 0, 0)


def test_previews_are_jpegs_of_the_step_they_show():
    recorder = tiny.Recorder(watched=True)
    Previewer(recorder.channel, IDENTITY, PreviewSettings(size=64), Clock(0.001)).offer(3, torch.zeros(1, 4, 8, 8))
    [event] = recorder.previews
    assert event.preview.step == 3
    picture = Image.open(io.BytesIO(event.preview.jpeg))
    assert (picture.format, picture.size) == ("JPEG", (64, 64))


def test_nobody_watching_means_no_preview():
    recorder = tiny.Recorder(watched=False)
    clock = Clock()
    offers(Previewer(recorder.channel, IDENTITY, PreviewSettings(), clock), clock, 20, 1.0)
    assert recorder.previews == []


def test_previews_can_be_switched_off():
    recorder = tiny.Recorder(watched=True)
    clock = Clock()
    offers(Previewer(recorder.channel, IDENTITY, PreviewSettings(enabled=False), clock), clock, 20, 1.0)
    assert recorder.previews == []


def test_previews_keep_their_distance_in_time():
    recorder = tiny.Recorder(watched=True)
    clock = Clock()
    offers(Previewer(recorder.channel, IDENTITY, PreviewSettings(interval=0.5), clock), clock, 20, 0.125)
    assert [event.preview.step for event in recorder.previews] == [1, 5, 9, 13, 17]


def test_previews_stay_within_their_share_of_the_time():
    recorder = tiny.Recorder(watched=True)
    clock = Clock(tick=0.01)  # a look costs 10 ms, so a preview costs that as well
    settings = PreviewSettings(interval=0.0, share=0.03)
    previewer = Previewer(recorder.channel, IDENTITY, settings, clock)
    offers(previewer, clock, 200, 0.05)
    shown = len(recorder.previews)
    assert shown >= 3
    assert (shown - 1) * 0.01 <= 0.03 * clock.now


def test_slow_steps_are_previewed_each():
    recorder = tiny.Recorder(watched=True)
    clock = Clock(tick=0.001)
    offers(Previewer(recorder.channel, IDENTITY, PreviewSettings(), clock), clock, 10, 2.0)
    assert [event.preview.step for event in recorder.previews] == list(range(1, 11))
