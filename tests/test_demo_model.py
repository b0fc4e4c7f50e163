"""The whole program below the front doors, with the embedded demo model: words really steer the picture."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import webui
from generation.job import JobState, JobStatus
from generation.metadata import read_infotext
from generation.request import make_request
from service.services import Services

pytestmark = pytest.mark.demo
ROOT = Path(webui.__file__).parent
SIDE = 128
STEPS = 12


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    outputs = tmp_path_factory.mktemp("outputs")
    made = webui.compose(webui.Paths((ROOT / "models",), outputs, outputs / "data"), "auto", "auto")
    yield made
    made.close()


def finished(services: Services, **fields: Any) -> JobStatus:
    values = {"width": SIDE, "height": SIDE, "steps": STEPS, "cfg_scale": 5, "seed": 1, **fields}
    job = services.generation.submit(make_request(**values))
    return asyncio.run(services.generation.result(job))


def pixels(status: JobStatus, index: int = 0) -> np.ndarray:
    """(height, width, 3) float in 0…255."""
    assert status.error is None, status.error
    with Image.open(io.BytesIO(status.images[index].read_png())) as picture:
        return np.asarray(picture.convert("RGB"), dtype=float)


def border_colour(picture: np.ndarray) -> np.ndarray:
    """Median RGB of a four pixel wide frame."""
    frame = np.ones(picture.shape[:2], dtype=bool)
    frame[4:-4, 4:-4] = False
    return np.median(picture[frame], axis=0)


@pytest.mark.parametrize(
    ("colour", "strong", "weak"),
    [("blue", 2, 0), ("red", 0, 2), ("green", 1, 2), ("yellow", 0, 2)],
)
def test_the_background_takes_the_colour_that_was_asked_for(
    services: Services, colour: str, strong: int, weak: int
) -> None:
    status = finished(services, prompt=f"a cat face on a {colour} background")
    frame = border_colour(pixels(status))
    assert frame[strong] > frame[weak] + 40, f"{colour}: {frame}"


def test_the_object_differs_from_the_background(services: Services) -> None:
    picture = pixels(finished(services, prompt="a red apple on a blue background"))
    centre = picture[SIDE // 3 : 2 * SIDE // 3, SIDE // 3 : 2 * SIDE // 3].mean(axis=(0, 1))
    assert centre[0] > centre[2], "an apple on blue is redder than it is blue"


def test_the_same_seed_gives_the_same_picture_and_another_seed_another(services: Services) -> None:
    first, again, other = (pixels(finished(services, prompt="a dog", seed=seed)) for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert np.abs(first - other).mean() > 2


@pytest.mark.parametrize("sampler", ["DPM++ 2M", "Euler a", "DPM++ 2M SDE"])
def test_picture_k_of_a_batch_equals_seed_plus_k_alone(services: Services, sampler: str) -> None:
    batch = finished(services, prompt="a pizza", seed=5, batch_size=3, sampler=sampler)
    alone = finished(services, prompt="a pizza", seed=7, sampler=sampler)
    assert [image.seed for image in batch.images] == [5, 6, 7]
    assert np.abs(pixels(batch, 2) - pixels(alone)).mean() < 2


def test_a_low_denoising_strength_keeps_more_of_the_init_image(services: Services) -> None:
    init = finished(services, prompt="a red apple on a white background", seed=3).images[0].read_png()
    start = pixels_of(init)

    def distance(strength: float) -> float:
        changed = finished(
            services,
            prompt="a green frog on a black background",
            img2img={"init_images": (init,), "denoising_strength": strength},
        )
        return float(np.abs(pixels(changed) - start).mean())

    assert distance(0.2) < distance(0.95) / 2


def pixels_of(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=float)


def test_every_picture_is_saved_with_its_parameters_and_remembered(services: Services) -> None:
    before = services.history.count()
    status = finished(services, prompt='a sun, "bright": yes', seed=11, batch_count=2)
    assert services.history.count() == before + 2
    for image, seed in zip(status.images, (11, 12), strict=True):
        assert image.path is not None
        infotext = read_infotext(image.path.read_bytes()).infotext
        assert infotext.startswith('a sun, "bright": yes')
        assert f"Seed: {seed}" in infotext
        assert "Model: demo" in infotext


def test_a_stopped_job_keeps_what_is_there(services: Services) -> None:
    job = services.generation.submit(make_request(prompt="a dog", width=SIDE, height=SIDE, steps=300, seed=1))

    async def stop_after_some_steps() -> JobStatus:
        async for status in services.generation.watch(job):
            if status.step >= 3:
                services.generation.stop(job, keep=True)
        return services.generation.status(job)

    status = asyncio.run(stop_after_some_steps())
    assert status.state is JobState.STOPPED
    assert len(status.images) == 1
    assert status.images[0].is_partial
    assert status.step < 300
