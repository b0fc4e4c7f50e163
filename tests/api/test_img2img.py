"""POST /sdapi/v1/img2img: init images and masks in, A1111's defaults, and what is refused."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from generation.request import Img2Img, MaskedContent, ResizeMode
from service.limits import Limits
from service.services import build_services
from tests.api.pictures import base64_of, picture
from tests.fakes import FakeWorker

FIELDS = json.loads((Path(__file__).parent / "a1111_request_fields.json").read_text())


def ask(client: TestClient, **fields: Any) -> dict[str, Any]:
    answer = client.post("/sdapi/v1/img2img", json=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def made(client: TestClient, worker: FakeWorker, **fields: Any) -> Img2Img:
    ask(client, **fields)
    part = worker.jobs[-1].request.img2img
    assert part is not None
    return part


def test_a1111s_defaults(client: TestClient, fake_worker: FakeWorker, init_image: str) -> None:
    part = made(client, fake_worker, init_images=[init_image])
    assert part.init_images == (base64.b64decode(init_image),)
    assert (part.denoising_strength, part.resize_mode, part.initial_noise_multiplier) == (0.75, 0, 1.0)
    assert part.inpaint is None
    assert fake_worker.jobs[-1].request.steps == 50


def test_a1111s_mask_defaults_differ_from_the_pages(
    client: TestClient, fake_worker: FakeWorker, init_image: str
) -> None:
    inpaint = made(client, fake_worker, init_images=[init_image], mask=init_image).inpaint
    assert inpaint is not None
    assert inpaint.content is MaskedContent.FILL
    assert (inpaint.only_masked, inpaint.padding) == (True, 0)
    assert (inpaint.blur_x, inpaint.blur_y, inpaint.round_mask, inpaint.invert) == (4, 4, True, False)


def test_every_field_reaches_the_worker(client: TestClient, fake_worker: FakeWorker, init_image: str) -> None:
    part = made(
        client,
        fake_worker,
        init_images=[init_image],
        mask=init_image,
        denoising_strength=0.3,
        resize_mode=2,
        initial_noise_multiplier=1.1,
        mask_blur_x=1,
        mask_blur_y=2,
        mask_round=False,
        inpainting_fill=2,
        inpaint_full_res=False,
        inpaint_full_res_padding=16,
        inpainting_mask_invert=1,
    )
    assert (part.denoising_strength, part.resize_mode) == (0.3, ResizeMode.RESIZE_AND_FILL)
    assert part.initial_noise_multiplier == 1.1
    inpaint = part.inpaint
    assert inpaint is not None
    assert (inpaint.blur_x, inpaint.blur_y, inpaint.round_mask, inpaint.invert) == (1, 2, False, True)
    assert (inpaint.content, inpaint.only_masked, inpaint.padding) == (MaskedContent.LATENT_NOISE, False, 16)


def test_mask_blur_sets_both_directions(client: TestClient, fake_worker: FakeWorker, init_image: str) -> None:
    inpaint = made(client, fake_worker, init_images=[init_image], mask=init_image, mask_blur=9).inpaint
    assert inpaint is not None
    assert (inpaint.blur_x, inpaint.blur_y) == (9, 9)


def test_null_is_accepted_for_every_field(client: TestClient, init_image: str) -> None:
    for field in set(FIELDS["img2img"]) - {"init_images"}:
        fields = {"init_images": [init_image], "mask": init_image, "steps": 1, field: None}
        assert ask(client, **fields)["images"], field


def test_the_echo_leaves_pictures_out_unless_asked(client: TestClient, init_image: str) -> None:
    echo = ask(client, init_images=[init_image], mask=init_image)["parameters"]
    assert (echo["init_images"], echo["mask"]) == (None, None)
    assert set(FIELDS["img2img"]) <= set(echo)
    echo = ask(client, init_images=[init_image], mask=init_image, include_init_images=True)["parameters"]
    assert (echo["init_images"], echo["mask"]) == ([init_image], init_image)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_picture_formats(client: TestClient, form: str) -> None:
    assert ask(client, init_images=[base64_of(picture(form=form))])["images"]


def test_data_uris_line_breaks_and_missing_padding(client: TestClient, init_image: str) -> None:
    wrapped = "\n".join(init_image[i : i + 76] for i in range(0, len(init_image), 76))
    for text in (f"data:image/png;base64,{init_image}", wrapped, init_image.rstrip("=")):
        assert ask(client, init_images=[text])["images"]


def test_several_init_images_make_a_batch(client: TestClient, fake_worker: FakeWorker, init_image: str) -> None:
    other = base64_of(picture("blue"))
    part = made(client, fake_worker, init_images=[init_image, other], batch_size=4)
    assert len(part.init_images) == 2
    assert fake_worker.jobs[-1].request.batch_size == 2


def test_the_noise_multiplier_can_be_overridden(
    client: TestClient, fake_worker: FakeWorker, init_image: str
) -> None:
    settings = {"initial_noise_multiplier": 1.2}
    part = made(client, fake_worker, init_images=[init_image], override_settings=settings)
    assert part.initial_noise_multiplier == 1.2


def refused(client: TestClient, **fields: Any) -> dict[str, Any]:
    answer = client.post("/sdapi/v1/img2img", json=fields)
    assert 400 <= answer.status_code < 500, answer.text
    body = answer.json()
    assert isinstance(body["detail"], str)
    assert body["detail"]
    return body


@pytest.mark.parametrize("images", [None, [], [None], [""]])
def test_without_an_init_image(client: TestClient, images: object) -> None:
    assert refused(client, init_images=images)["field"] == "init_images"


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:7860/x.png",
        "https://example.org/x.png",
        "HTTP://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "ftp://example.org/x.png",
    ],
)
def test_addresses_are_never_fetched(client: TestClient, init_image: str, address: str) -> None:
    assert "addresses" in refused(client, init_images=[address])["detail"]
    assert refused(client, init_images=[init_image], mask=address)["field"] == "mask"


def test_a_path_is_just_bad_base64(client: TestClient) -> None:
    assert refused(client, init_images=["../../etc/passwd"])["field"] == "init_images"


def truncated(form: str) -> bytes:
    whole = picture(size=(256, 256), form=form)
    return whole[: len(whole) // 2]


BROKEN = {
    "not base64": "this is not base64!",
    "nothing in it": "data:image/png;base64,",
    "no base64 data URI": "data:image/png,abc",
    "text": base64_of(b"hello, this is just text"),
    "half a PNG": base64_of(truncated("PNG")),
    "half a JPEG": base64_of(truncated("JPEG")),
    "half a WebP": base64_of(truncated("WEBP")),
    "header only": base64_of(b"\x89PNG\r\n\x1a\n"),
    "SVG": base64_of(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "PostScript": base64_of(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    "pickle": base64_of(b"\x80\x04\x95\x10\x00\x00\x00"),
}


def test_broken_pictures(client: TestClient) -> None:
    for kind, broken in BROKEN.items():
        assert refused(client, init_images=[broken])["field"] == "init_images", kind


def test_broken_masks(client: TestClient, init_image: str) -> None:
    for kind, broken in BROKEN.items():
        assert refused(client, init_images=[init_image], mask=broken)["field"] == "mask", kind


def png_claiming(width: int, height: int) -> bytes:
    """A tiny PNG whose header claims a huge size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_000, 10_000, 50_000])
def test_decompression_bombs_are_refused_by_their_header(client: TestClient, side: int) -> None:
    assert (
        "more than this server takes"
        in refused(client, init_images=[base64_of(png_claiming(side, side))])["detail"]
    )


def test_a_text_chunk_bomb_is_refused(client: TestClient) -> None:
    text = b"parameters\0\0" + zlib.compress(b"a" * 80_000_000, 9)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    whole = picture()
    bomb = whole[:33] + chunk + whole[33:]
    assert refused(client, init_images=[base64_of(bomb)])["field"] == "init_images"


def test_the_operators_limits_hold(tmp_path: Path, models_dir: Path, fake_worker: FakeWorker) -> None:
    from api.app import create_app
    from api.security import Security

    services = build_services(
        worker_factories={"fake": fake_worker},
        models_dirs=[models_dir],
        outputs_dir=tmp_path / "o",
        data_dir=tmp_path / "d",
        limits=Limits(max_init_pixels=32 * 32, max_upload_bytes=10_000, max_steps=60),
    )
    try:
        client = TestClient(create_app(services, Security()), base_url="http://localhost")
        assert "64x64" in refused(client, init_images=[base64_of(picture())])["detail"]
        heavy = base64_of(b"x" * 20_000)
        assert "MB" in refused(client, init_images=[heavy])["detail"]
        small = base64_of(picture(size=(16, 16)))
        assert refused(client, init_images=[small], steps=61)["field"] == "steps"
        assert ask(client, init_images=[small])["images"]
    finally:
        services.close()


def test_more_init_images_than_the_batch_holds(client: TestClient, init_image: str) -> None:
    assert "batch" in refused(client, init_images=[init_image] * 3, batch_size=2)["detail"]


@pytest.mark.parametrize(
    "fields",
    [
        {"denoising_strength": 1.5},
        {"resize_mode": 9},
        {"inpainting_fill": 9},
        {"mask_blur": -1},
        {"mask_blur_x": 10_000},
        {"inpaint_full_res_padding": -1},
        {"initial_noise_multiplier": 50},
        {"init_images": "text"},
        {"init_images": [{"a": 1}]},
        {"latent_mask": "AAAA"},
    ],
)
def test_bad_values_name_a1111s_field(client: TestClient, init_image: str, fields: dict[str, Any]) -> None:
    body = refused(client, **{"init_images": [init_image], "mask": init_image, **fields})
    name = next(iter(fields))
    assert name.removesuffix("_x") in f"{body['field']} {body['detail']}"
