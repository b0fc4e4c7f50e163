from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from generation.foreign_json import parse_object, take_json_values
from generation.infotext import format_infotext
from generation.metadata import Metadata, PictureFormat, read_infotext, write_picture, write_png
from generation.paste import request_from_metadata, request_from_text
from generation.request import GenerationRequest, make_request
from generation.request_json import request_to_json
from tests.generation.requests import requests
from tests.generation.test_foreign_comfyui import graph
from tests.generation.test_foreign_others import FOOOCUS, INVOKE, texts

VECTORS = json.loads((Path(__file__).parent.parent / "reference/infotext_vectors.json").read_text())["cases"]
PIXELS = np.zeros((8, 16, 3), dtype=np.uint8)
CIVITAI = [
    {"type": "checkpoint", "modelVersionId": 691639, "modelName": "FLUX", "modelVersionName": "Dev"},
    {"type": "lora", "weight": 0.8, "modelVersionId": 5, "modelName": "Style, bold", "modelVersionName": "v1"},
]


def png_with(**chunks: str) -> Metadata:
    """What is read from a PNG file with these text chunks."""
    info = PngImagePlugin.PngInfo()
    for key, text in chunks.items():
        info.add_itxt(key, text)
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG", pnginfo=info)
    return read_infotext(buffer.getvalue())


def vector(name: str) -> str:
    return next(case["input"] for case in VECTORS if case["name"] == name)


@given(requests(), st.sampled_from(list(PictureFormat)))
def test_a_picture_of_ours_gives_its_request_back(
    request: GenerationRequest, picture_format: PictureFormat
) -> None:
    short = request.with_changes(prompt=request.prompt[:1000], negative_prompt=request.negative_prompt[:1000])
    text = format_infotext(short, seed=short.seed)
    data = write_picture(PIXELS, picture_format, text, request_to_json(short))
    pasted = request_from_metadata(read_infotext(data))
    assert (pasted.request(), pasted.source) == (short, "Easel")


def test_a_damaged_json_of_ours_falls_back_to_the_infotext() -> None:
    data = write_png(PIXELS, format_infotext(make_request(prompt="a cat", steps=7), seed=1), "{broken")
    assert request_from_metadata(read_infotext(data)).fields["steps"] == 7


def test_a_picture_without_metadata_gives_nothing() -> None:
    pasted = request_from_metadata(read_infotext(write_png(PIXELS, "")))
    assert (pasted.fields, pasted.not_carried_over) == ({}, ())


@pytest.mark.parametrize(
    ("chunks", "source"),
    [
        ({"prompt": json.dumps(graph()), "workflow": "{}"}, "ComfyUI"),
        ({"workflow": "{}"}, "ComfyUI"),
        ({"invokeai_metadata": json.dumps(INVOKE), "invokeai_graph": "{}"}, "InvokeAI"),
        ({"sd-metadata": json.dumps({"model_weights": "x", "image": {"prompt": "a"}})}, "InvokeAI"),
        ({"parameters": json.dumps(FOOOCUS), "fooocus_scheme": "fooocus"}, "Fooocus"),
        (texts(), "NovelAI"),
        ({"parameters": vector("Forge flux")}, "Forge"),
        ({"parameters": vector("civitai flux meta")}, "Civitai"),
        ({"parameters": vector("no negative")}, "A1111"),
        ({"parameters": "a cat"}, ""),
        ({"prompt": '{"a": 1}'}, ""),
        ({"prompt": "not json"}, ""),
    ],
)
def test_every_programs_files_are_recognised(chunks: dict[str, str], source: str) -> None:
    pasted = request_from_metadata(png_with(**chunks))
    assert pasted.source == source
    assert pasted.request()


def test_fooocus_files_with_exif() -> None:
    data = write_picture(PIXELS, PictureFormat.JPEG, json.dumps(FOOOCUS))
    assert request_from_metadata(read_infotext(data)).fields["width"] == 1152


def test_the_size_of_a_novelai_picture_is_the_files() -> None:
    assert request_from_metadata(png_with(**texts())).not_carried_over[0].startswith("NovelAI's weights")
    assert request_from_metadata(Metadata(items=texts(), width=64, height=128)).fields["height"] == 128


def test_civitais_resources_are_read_whole() -> None:
    text = (
        f"cat\nSteps: 20, Sampler: Undefined, CFG scale: 3.5, Seed: 9, Civitai resources: {json.dumps(CIVITAI)}, "
        "Civitai metadata: {}, Size: 832x1216"
    )
    pasted = request_from_text(text)
    assert (pasted.source, pasted.model_name, pasted.fields["model"]) == ("Civitai", "FLUX", "FLUX")
    assert (pasted.fields["width"], pasted.fields["height"]) == (832, 1216)
    assert any("'Style, bold' 'v1', Civitai version 5" in sentence for sentence in pasted.not_carried_over)
    assert any("<lora:its file name:0.8>" in sentence for sentence in pasted.not_carried_over)
    assert any("Undefined" in sentence for sentence in pasted.not_carried_over)
    assert len(pasted.not_carried_over) == 2


def test_a_model_in_the_text_beats_civitais_list() -> None:
    line = f"a\nSteps: 1, Seed: 1, Model: mine, Civitai resources: {json.dumps(CIVITAI)}"
    assert request_from_text(line).model_name == "mine"


def test_forges_own_keys_are_said() -> None:
    sentences = request_from_text(vector("Forge flux")).not_carried_over
    for part in ("Distilled CFG Scale", "Module 1", "Module 3"):
        assert any(part in sentence for sentence in sentences)


def test_fooocus_infotext() -> None:
    text = (
        "cat\nNegative prompt: dog\nSteps: 30, Sampler: dpmpp_2m_sde_gpu, Scheduler: karras, Seed: 1, "
        "Size: 1152x896, CFG scale: 4, Model: jugger, Version: Fooocus v2.5.5, Raw prompt: cat"
    )
    pasted = request_from_text(text)
    assert (pasted.fields["sampler"], pasted.fields["schedule"]) == ("DPM++ 2M SDE", "Karras")
    assert pasted.not_carried_over == ()


def test_sd_next_names_itself() -> None:
    assert request_from_text("a\nSteps: 1, Seed: 1, CFG scale: 1, App: SD.Next").source == "SD.Next"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (json.dumps(graph()), "ComfyUI"),
        (json.dumps({"prompt": graph(), "client_id": "x"}), "ComfyUI"),
        (json.dumps(INVOKE), "InvokeAI"),
        (json.dumps({"app_version": "2.3", "image": {"prompt": "a"}}), "InvokeAI"),
        (request_to_json(make_request(prompt="a")), "Easel"),
        ('{"request": 3}', ""),
    ],
)
def test_json_can_be_pasted_as_text(text: str, source: str) -> None:
    assert request_from_text(text).source == source


@pytest.mark.parametrize(
    ("line", "rest", "found"),
    [
        ('a\nSteps: 1, Hashes: {"x": "a, b"}, Seed: 2', "a\nSteps: 1, Seed: 2", {"Hashes": {"x": "a, b"}}),
        ("Steps: 1, Note: [1, 2", "Steps: 1, Note: [1, 2", {}),
        ("a: b", "a: b", {}),
        ("", "", {}),
    ],
)
def test_json_values_are_taken_out_of_the_line(line: str, rest: str, found: dict) -> None:
    assert take_json_values(line) == (rest, found)


@pytest.mark.parametrize("text", [None, "", "[1]", "{", "{" * 100_000, '{"a":' * 50_000, "3", '"x"'])
def test_what_is_no_object_is_none(text: str | None) -> None:
    assert parse_object(text) is None


@given(st.text(max_size=60))
def test_any_text_can_be_pasted(text: str) -> None:
    assert request_from_text(text).request()
