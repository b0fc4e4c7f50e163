from __future__ import annotations

import struct
import zlib

import pytest

from generation.errors import InvalidRequest
from generation.request import make_request
from service.limits import Limits
from tests.fakes import png_of

TIGHT = Limits(
    max_pixels=512 * 512,
    max_batch_pixels=512 * 512 * 4,
    max_steps=50,
    max_batch_size=8,
    max_images_per_job=20,
    max_upload_bytes=10_000,
    max_init_pixels=64 * 64,
)


def from_picture(*pictures: bytes, mask: bytes | None = None) -> dict[str, object]:
    img2img: dict[str, object] = {"init_images": pictures}
    return {"img2img": {**img2img, "inpaint": {"mask": mask}} if mask else img2img}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"width": 1024, "height": 256},
        {"steps": 50, "batch_size": 4, "batch_count": 5},
        from_picture(png_of((1, 2, 3), (64, 64)), mask=png_of((1, 2, 3))),
    ],
)
def test_requests_within_the_limits_pass(values: dict[str, object]) -> None:
    TIGHT.check(make_request(**values))


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        (
            {"width": 520, "height": 512},
            "width",
            "520x512 is 266,240 pixels, more than this server allows (262,144)",
        ),
        ({"steps": 51}, "steps", "51 steps are more than this server allows (50)"),
        ({"batch_size": 9, "width": 64, "height": 64}, "batch_size", "A batch of 9 pictures"),
        ({"batch_size": 5}, "batch_size", "A batch of 1,310,720 pixels"),
        ({"batch_count": 21}, "batch_count", "21 pictures in one job"),
        (from_picture(bytes(10_001)), "img2img.init_images", "The uploaded pictures are 0.0 MB"),
        (from_picture(png_of((1, 2, 3), (65, 64))), "img2img.init_images", "65x64 is larger"),
        (from_picture(b"not a picture"), "img2img.init_images", "An uploaded file of 13 bytes is not a picture"),
        (from_picture(png_of((1, 2, 3)), mask=b"GIF89a"), "img2img.inpaint.mask", "is not a picture"),
    ],
)
def test_requests_over_a_limit_are_refused_with_both_numbers(
    values: dict[str, object], field: str, message: str
) -> None:
    with pytest.raises(InvalidRequest) as error:
        TIGHT.check(make_request(**values))
    assert error.value.field == field
    assert message in error.value.message
    assert error.value.hint


def test_a_picture_that_claims_to_be_huge_is_not_unpacked() -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", 200_000, 200_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    bomb += b"\x00\x00\x00\x00IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    with pytest.raises(InvalidRequest):
        Limits().check(make_request(**from_picture(bomb)))


@pytest.mark.parametrize(
    ("hires", "field"),
    [({"scale": 2}, "hires.scale"), ({"width": 640}, "hires.scale"), ({"scale": 1, "steps": 51}, "hires.steps")],
)
def test_the_second_pass_counts_too(hires: dict[str, object], field: str) -> None:
    TIGHT.check(make_request(width=256, height=256, hires={"scale": 2}))
    with pytest.raises(InvalidRequest, match="second pass") as error:
        TIGHT.check(make_request(width=512, height=512, hires=hires))
    assert error.value.field == field
