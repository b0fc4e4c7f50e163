from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from generation import png_text
from generation.errors import InvalidRequest
from generation.exif_text import decode_comment
from generation.metadata import PictureFormat, read_infotext, write_picture, write_png

PIXELS = np.random.default_rng(0).integers(0, 255, (16, 24, 3), dtype=np.uint8)
TEXTS = ["a cat\nSteps: 1", "café, 'x'", "一只猫 🐈‍⬛", "‮עברית", 'quote " \\ back', "x" * 10_000]
encodable = st.text(alphabet=st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunks(*chunks: bytes) -> bytes:
    """A PNG file with extra chunks after the pixels, just before its end."""
    plain = write_png(PIXELS, "")
    return plain[:-12] + b"".join(chunks) + plain[-12:]


def test_a_png_holds_the_pixels_and_both_texts() -> None:
    data = write_png(PIXELS, "a cat", '{"prompt":"é"}')
    with Image.open(io.BytesIO(data)) as picture:
        assert np.array_equal(np.asarray(picture), PIXELS)
        assert picture.info == {"parameters": "a cat", "easel": '{"prompt":"é"}'}
    found = read_infotext(data)
    assert (found.infotext, found.request_json) == ("a cat", '{"prompt":"é"}')
    assert (found.format, found.width, found.height) == ("PNG", 24, 16)


@pytest.mark.parametrize(("text", "kind"), [("café", b"tEXt"), ("猫", b"iTXt")])
def test_infotext_is_in_an_itxt_chunk_only_when_needed(text: str, kind: bytes) -> None:
    data = write_png(PIXELS, text)
    assert kind + b"parameters" in data
    assert data.count(b"parameters") == 1


def test_pillow_pictures_are_written_too_and_empty_infotext_is_left_out() -> None:
    data = write_png(Image.new("RGBA", (8, 8)), "")
    assert b"parameters" not in data
    assert read_infotext(data).request_json is None


@pytest.mark.parametrize("picture_format", list(PictureFormat))
@pytest.mark.parametrize("text", TEXTS)
def test_every_format_gives_its_infotext_back(picture_format: PictureFormat, text: str) -> None:
    data = write_picture(PIXELS, picture_format, text, '{"a":"ü"}')
    found = read_infotext(data)
    assert (found.infotext, found.request_json, found.format) == (text, '{"a":"ü"}', picture_format.value)


@given(encodable)
def test_any_text_survives_in_png_and_jpeg(text: str) -> None:
    assert read_infotext(write_png(PIXELS, text)).infotext == text
    assert read_infotext(write_picture(PIXELS, PictureFormat.JPEG, text)).infotext == text.rstrip("\0")


def test_what_no_file_can_hold_is_replaced() -> None:
    assert read_infotext(write_png(PIXELS, "a\ud800\0b")).infotext == "a?b"


def test_jpeg_comment_is_a1111s_unicode_form() -> None:
    data = write_picture(Image.new("RGBA", (8, 8)), PictureFormat.JPEG, "é猫")
    assert b"UNICODE\0" + "é猫".encode("utf-16-be") in data


def test_our_json_is_left_out_of_exif_where_it_does_not_fit() -> None:
    found = read_infotext(write_picture(PIXELS, PictureFormat.JPEG, "a cat", "x" * 65_000))
    assert (found.infotext, found.request_json) == ("a cat", None)


def test_infotext_that_does_not_fit_into_exif_is_an_error() -> None:
    with pytest.raises(InvalidRequest, match="too long"):
        write_picture(PIXELS, PictureFormat.JPEG, "x" * 40_000)


def test_webp_can_be_lossless() -> None:
    data = write_picture(PIXELS, PictureFormat.WEBP, "a", lossless=True)
    with Image.open(io.BytesIO(data)) as picture:
        assert np.array_equal(np.asarray(picture), PIXELS)


def test_a_gif_comment_is_infotext() -> None:
    buffer = io.BytesIO()
    Image.new("P", (8, 8)).save(buffer, "GIF", comment=b"a cat")
    assert read_infotext(buffer.getvalue()).infotext == "a cat"


def test_exif_overrides_the_png_chunk() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0from exif"
    exif[0x0131] = "NovelAI"
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("parameters", "from chunk")
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG", exif=exif, pnginfo=chunks)
    found = read_infotext(buffer.getvalue())
    assert found.infotext == "from exif"
    assert found.items == {"Software": "NovelAI"}


def test_comfyui_texts_in_plain_tags_go_by_their_key() -> None:
    exif = Image.Exif()
    exif[0x010F] = 'workflow:{"a": 1}'
    exif[0x0110] = 'prompt: {"b": 2}'
    exif[0x9C9C] = "note".encode("utf-16-le") + b"\0\0"
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "WEBP", exif=exif)
    assert read_infotext(buffer.getvalue()).items == {
        "workflow": '{"a": 1}',
        "prompt": '{"b": 2}',
        "XPComment": "note",
    }


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"UNICODE\0" + "a猫".encode("utf-16-be"), "a猫"),
        (b"UNICODE\0" + "a cat".encode("utf-16-le"), "a cat"),
        (b"UNICODE\0" + "a cat".encode("utf-16"), "a cat"),
        (b"JIS\0\0\0\0\0" + "猫".encode("shift_jis"), "猫"),
        (b"\0" * 8 + b"a cat", "a cat"),
        ("plain é".encode(), "plain é"),
        ("a string", "a string"),
        (b"", ""),
        (None, ""),
        (7, ""),
    ],
)
def test_user_comments_in_every_encoding(raw: object, text: str) -> None:
    assert decode_comment(raw) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (chunk(b"tEXt", b"parameters\0caf\xe9"), "café"),
        (chunk(b"tEXt", "parameters\0café".encode()), "café"),
        (chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"zipped")), "zipped"),
        (chunk(b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress("猫".encode())), "猫"),
        (chunk(b"iTXt", b"parameters\0\0\0en\0key\0" + "猫".encode()), "猫"),
    ],
)
def test_text_chunks_of_every_kind_are_read_even_behind_the_pixels(body: bytes, text: str) -> None:
    assert read_infotext(with_chunks(body)).infotext == text


@pytest.mark.parametrize(
    "body",
    [
        chunk(b"tEXt", b"parameters"),
        chunk(b"zTXt", b"parameters\0\0not zlib"),
        chunk(b"zTXt", b"parameters\0\7?"),
        chunk(b"iTXt", b"parameters\0\0"),
        chunk(b"iTXt", b"parameters\0\1\0\0\0not zlib"),
        chunk(b"iTXt", b"parameters\0\0\0one"),
        struct.pack(">I", 2**31 - 1) + b"tEXtparameters\0x",
    ],
)
def test_broken_text_chunks_are_passed_over(body: bytes) -> None:
    assert png_text.read(with_chunks(body)) == {}


def test_text_that_explodes_when_unpacked_is_passed_over() -> None:
    bomb = zlib.compress(b"\0" * (png_text.MAX_TEXT + 1), 9)
    assert png_text.read(with_chunks(chunk(b"zTXt", b"parameters\0\0" + bomb))) == {}


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0", b"%PDF-1.7"]
)
def test_what_is_no_picture_is_said(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="picture"):
        read_infotext(data)


def test_formats_that_are_not_allowed_are_refused() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "TIFF")
    with pytest.raises(InvalidRequest, match="not a picture"):
        read_infotext(buffer.getvalue())


@pytest.mark.parametrize("side", [4_000, 2**20])
def test_decompression_bombs_are_refused_before_they_go_off(side: int) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    data = png_text.SIGNATURE + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    with pytest.raises(InvalidRequest, match="too large"):
        read_infotext(data, max_pixels=10_000_000)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks about the damage
@pytest.mark.parametrize("picture_format", list(PictureFormat))
@given(st.integers(0, 2**32), st.integers(0, 2000))
def test_damaged_files_are_read_or_refused_with_a_sentence(
    picture_format: PictureFormat, seed: int, cut: int
) -> None:
    data = bytearray(write_picture(PIXELS, picture_format, "a cat\nSteps: 1", '{"a":1}'))
    noise = np.random.default_rng(seed)
    for position in noise.integers(0, len(data), 8):
        data[position] = noise.integers(0, 256)
    with suppress(InvalidRequest):
        assert read_infotext(bytes(data[: len(data) - cut])).format == picture_format.value
