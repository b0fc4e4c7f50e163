from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.model_card import ModelCard
from service.file_names import MAX_BYTES, FileFacts, file_stem, folder_parts, safe_name
from tests.service.values import PAINTER, a_job, an_image

NOW = datetime(2026, 11, 21, 13, 5, 9)


def facts(index: int = 0, **request: object) -> FileFacts:
    checkpoint = PAINTER.model_copy(update={"sha256": "0123456789abcdef" * 4})
    return FileFacts(a_job(checkpoint=checkpoint, **request), an_image(seed=1 + index), index, NOW)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[seed]-[prompt_spaces]", "4-a cat, sitting"),
        ("[prompt]", "a_cat,_sitting"),
        ("[prompt_words]", "a cat sitting"),
        ("[seed_first]..[seed_last]", "1..6"),
        ("[date]", "2026-11-21"),
        ("[datetime]", "20261121130509"),
        ("[datetime<%H.%M>]", "13.05"),
        ("[model_name]-[model_hash]", "painter-0123456789"),
        ("[steps]x[cfg]", "3x7"),
        ("[sampler] [scheduler]", "DPM++ 2M Karras"),
        ("[sampler_scheduler]", "DPM++ 2M"),
        ("[width]x[height]", "16x16"),
        ("[generation_number] [batch_number] of [batch_size]", "4 2 of 2"),
        ("[clip_skip][denoising][user][vae_filename][none]", "1"),
        ("[prompt_hash] [prompt_hash<4>]", "0ac2f6f0 0ac2"),
        ("[SEED]", "4"),
        ("[unknown] [seed", "[unknown] [seed"),
        ("a/b\\c", "a b c"),
        ("", ""),
    ],
)
def test_words_of_a_pattern_are_filled_in(pattern: str, expected: str) -> None:
    stem = file_stem(pattern, facts(3, prompt="a  cat,\nsitting", batch_size=2, batch_count=3))
    if "prompt_hash" in pattern:
        assert [len(part) for part in stem.split()] == [8, 4]
        assert stem.split()[0].startswith(stem.split()[1])
    else:
        assert stem == expected


def test_words_inside_a_prompt_are_not_filled_in_again() -> None:
    assert file_stem("[prompt_spaces]", facts(prompt="[seed] and [[x:y:3]]")) == "[seed] and [[x_y_3]]"


def test_img2img_and_vae_have_words_too() -> None:
    plain = facts(img2img={"init_images": (b"x",), "denoising_strength": 0.4})
    vae = ModelCard(name="crisp", filename="crisp.pt", path=PAINTER.path)
    assert file_stem("[denoising] [vae_filename]", replace(plain, job=replace(plain.job, vae=vae))) == "0.4 crisp"


def test_only_the_patterns_own_slashes_make_folders() -> None:
    assert folder_parts("[date]/[model_name]\\x", facts()) == ["2026-11-21", "painter", "x"]
    assert folder_parts("[prompt_spaces]", facts(prompt="../../etc/passwd")) == ["_.._etc_passwd"]
    assert folder_parts("../..//./[none]/ok", facts()) == ["ok"]
    assert folder_parts("", facts()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("con", "_con"),
        ("COM1.txt", "_COM1.txt"),
        ("lpt³", "_lpt³"),
        ("aux ", "_aux"),
        ("console", "console"),
        ('a<b>c:"d/e\\f|g?h*i', "a_b_c__d_e_f_g_h_i"),
        ("tab\there\x00", "tab_here_"),
        (" dots... ", "dots"),
        ("...", ""),
        ("猫と犬 ñ 😀", "猫と犬 ñ 😀"),
        ("gpj\u202egnp", "gpj_gnp"),
    ],
)
def test_names_are_valid_on_every_system(text: str, expected: str) -> None:
    assert safe_name(text) == expected


def test_long_names_are_cut_between_whole_characters() -> None:
    assert safe_name("猫" * 100) == "猫" * 66
    family = "👨‍👩‍👧"
    assert safe_name("x" * 190 + family) == "x" * 190
    assert safe_name("x" * 198 + "e\u0323\u0301y") == "x" * 198


@given(st.text(max_size=300), st.integers(8, 255))
def test_any_text_becomes_a_safe_name(text: str, max_bytes: int) -> None:
    name = safe_name(text, max_bytes)
    assert len(name.encode()) <= max_bytes
    assert not set(name) & set('<>:"/\\|?*')
    assert name == name.strip(" ") == name.rstrip(".")
    assert not any(unicodedata.category(letter) == "Cc" for letter in name)
    assert name not in (".", "..")
    assert name.split(".")[0].strip().upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}
    assert safe_name(name, max_bytes) == name


@given(st.text(max_size=80), st.text(max_size=300))
def test_any_pattern_and_prompt_make_a_file_name(pattern: str, prompt: str) -> None:
    filled = facts(prompt=prompt)
    assert len(file_stem(pattern + "[prompt_spaces]", filled).encode()) <= MAX_BYTES
    assert all(part not in ("", ".", "..") and "/" not in part for part in folder_parts(pattern, filled))
