"""Enlarging finished pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from generation.errors import InvalidRequest, UnknownName
from generation.extras import Upscaling, upscale_image, upscaled_png
from generation.metadata import read_infotext, write_png
from generation.upscalers import hires_upscaler, pixel_upscaler

LEVELS = np.random.default_rng(1).integers(0, 256, (6, 10, 3), dtype=np.uint8)
PICTURE = Image.fromarray(LEVELS)
PLENTY = 10**6


def enlarged(**values: object) -> Image.Image:
    return upscale_image(PICTURE, Upscaling(**{"upscaler": "Nearest", **values}), PLENTY)[0]  # type: ignore[arg-type]


def test_twice_by_nearest_repeats_every_pixel() -> None:
    assert np.array_equal(np.asarray(enlarged()), LEVELS.repeat(2, 0).repeat(2, 1))


def test_lanczos_is_pillows() -> None:
    expected = PICTURE.resize((15, 9), Image.Resampling.LANCZOS)
    assert enlarged(upscaler="Lanczos", scale=1.5).tobytes() == expected.tobytes()


def test_none_leaves_the_picture_alone() -> None:
    assert upscale_image(PICTURE, Upscaling(), PLENTY) == (PICTURE, "")


def test_to_a_size_covers_it_and_cuts_the_middle() -> None:
    assert enlarged(to_size=(20, 20), crop=False).size == (33, 20)
    whole, cut = enlarged(to_size=(20, 20), crop=False), enlarged(to_size=(20, 20))
    assert cut.tobytes() == whole.crop((6, 0, 26, 20)).tobytes()


def test_the_second_upscaler_is_blended_by_its_visibility() -> None:
    both = enlarged(second="Lanczos", second_visibility=0.25)
    assert both.tobytes() == Image.blend(enlarged(), enlarged(upscaler="Lanczos"), 0.25).tobytes()
    assert enlarged(second="Lanczos").tobytes() == enlarged().tobytes()


def test_infotext_stays_and_postprocessing_comes() -> None:
    data = write_png(PICTURE, "a café 猫\nSteps: 1", '{"version": "x"}')
    wanted = Upscaling("Nearest", to_size=(20, 20), second="Lanczos", second_visibility=0.5)
    png, done = upscaled_png(data, wanted, PLENTY)
    found = read_infotext(png)
    assert (found.infotext, found.request_json, found.width) == ("a café 猫\nSteps: 1", '{"version": "x"}', 20)
    assert found.items["postprocessing"] == done
    assert done == (
        "Postprocess upscale to: 20x20, Postprocess upscaler: Nearest, Postprocess upscaler 2: Lanczos, "
        "Postprocess crop to: 20x20"
    )


def test_pictures_without_texts_and_with_transparency() -> None:
    buffer = io.BytesIO()
    PICTURE.convert("RGBA").save(buffer, "TIFF")
    png, done = upscaled_png(buffer.getvalue(), Upscaling("Lanczos"), PLENTY)
    assert Image.open(io.BytesIO(png)).mode == "RGBA"
    assert done == "Postprocess upscale by: 2.0, Postprocess upscaler: Lanczos"


def test_too_large_a_result_is_refused_before_it_is_made() -> None:
    with pytest.raises(InvalidRequest, match="40000x24000"):
        upscale_image(PICTURE, Upscaling("Nearest", scale=4000), PLENTY)


def test_names_are_found_in_any_case() -> None:
    assert (pixel_upscaler("lanczos"), hires_upscaler("latent (NEAREST)")) == ("Lanczos", "Latent (nearest)")
    with pytest.raises(UnknownName, match="'Latent'"):
        pixel_upscaler("Latent")
