from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from engine.init_image import flatten, open_image, resize, to_tensor
from generation.errors import InvalidRequest
from generation.request import ResizeMode
from tests.engine.pictures import noise_image, png


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_common_formats_are_read(format_name: str):
    buffer = io.BytesIO()
    noise_image(20, 10).save(buffer, format_name)
    assert flatten(open_image(buffer.getvalue(), "x")).size == (20, 10)


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    buffer = io.BytesIO()
    noise_image(20, 10).save(buffer, "JPEG", exif=exif)
    assert open_image(buffer.getvalue(), "x").size == (10, 20)


@pytest.mark.parametrize(
    "data", [b"", b"not a picture", png(noise_image(64, 64))[:500], b"\x89PNG\r\n\x1a\n" + b"\0" * 40]
)
def test_bytes_that_are_no_picture_are_refused_by_name(data: bytes):
    with pytest.raises(InvalidRequest, match=r"given as img2img\.init_images cannot be read") as caught:
        open_image(data, "img2img.init_images")
    assert caught.value.field == "img2img.init_images"


def test_bombs_are_refused_before_they_are_unpacked():
    header = bytearray(png(Image.new("1", (8, 8))))
    buffer = io.BytesIO()
    Image.new("1", (12_000, 10_000)).save(buffer, "PNG")
    assert len(header) < len(buffer.getvalue()) < 100_000
    with pytest.raises(InvalidRequest, match="12000 x 10000 pixels"):
        open_image(buffer.getvalue(), "x")


def test_transparency_lands_on_white():
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    assert list(np.asarray(flatten(image))[0].tolist()) == [[255, 0, 0], [255, 255, 255]]


def test_palette_transparency_lands_on_white():
    image = Image.new("P", (2, 1), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((1, 0), 1)
    image.info["transparency"] = 0
    assert np.asarray(flatten(image))[0].tolist() == [[255, 255, 255], [255, 0, 0]]


def test_sixteen_bit_grey_keeps_its_range():
    image = Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))
    assert np.asarray(flatten(open_image(png(image), "x")))[0, :, 0].tolist() == [0, 127, 255]


@pytest.mark.parametrize("mode", list(ResizeMode))
@pytest.mark.parametrize("size", [(64, 64), (128, 64), (64, 128), (40, 24), (24, 40)])
def test_every_mode_gives_the_asked_size(mode: ResizeMode, size: tuple[int, int]):
    assert resize(noise_image(50, 30), mode, *size).size == size


def halves(width: int = 40, height: int = 20) -> Image.Image:
    """Left half red, right half blue."""
    image = Image.new("RGB", (width, height), (255, 0, 0))
    image.paste((0, 0, 255), (width // 2, 0, width, height))
    return image


def test_crop_cuts_the_overhang_evenly():
    pixels = np.asarray(resize(halves(), ResizeMode.CROP_AND_RESIZE, 20, 20))
    assert pixels[10, 2].tolist() == [255, 0, 0]
    assert pixels[10, 17].tolist() == [0, 0, 255]


def test_fill_stretches_the_edges():
    image = Image.new("RGB", (40, 20), (0, 255, 0))
    image.paste((255, 0, 0), (0, 0, 40, 8))
    image.paste((0, 0, 255), (0, 12, 40, 20))
    pixels = np.asarray(resize(image, ResizeMode.RESIZE_AND_FILL, 40, 40))
    assert pixels[0, 20].tolist() == [255, 0, 0]
    assert pixels[39, 20].tolist() == [0, 0, 255]
    assert pixels[20, 20].tolist() == [0, 255, 0]


def test_masks_can_be_filled_too():
    assert resize(Image.new("L", (40, 20), 255), ResizeMode.RESIZE_AND_FILL, 40, 40).getextrema() == (255, 255)


def test_pixels_run_from_minus_one_to_one():
    image = Image.new("RGB", (2, 1), (0, 0, 0))
    image.putpixel((1, 0), (255, 255, 255))
    tensor = to_tensor(image)
    assert tensor.shape == (3, 1, 2)
    assert torch.equal(tensor[:, 0], torch.tensor([[-1.0, 1.0]] * 3))
