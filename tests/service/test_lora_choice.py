from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from generation.errors import InvalidRequest
from generation.lora_use import LoraUse, lora_hashes
from generation.request import make_request
from service.catalog import Catalog
from service.database import Database
from service.file_hashes import FileHashes
from service.limits import Limits
from service.lora_choice import HIRES_LORAS, MAX_LORAS, choose_loras
from service.preferences import PreferenceStore
from service.safetensors_metadata import read_metadata, readable_metadata
from service.submission import Resolver
from tests.fakes import PATIENCE


def write(path: Path, metadata: dict[str, str], body: bytes = b"") -> Path:
    raw = json.dumps({"__metadata__": metadata}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + body)
    return path


@pytest.fixture
def catalog(tmp_path: Path, models_dir: Path) -> Catalog:
    write(models_dir / "Lora/ink.safetensors", {"ss_output_name": "Old Ink"}, b"ink")
    write(models_dir / "Lora/styles/paper v1.2.safetensors", {"ss_output_name": "twin"}, b"paper")
    write(models_dir / "Lora/styles/wash.safetensors", {"ss_output_name": "twin"}, b"wash")
    write(models_dir / "Lora/a/same.safetensors", {}, b"a")
    write(models_dir / "loras/b/same.pt", {}, b"b")
    (models_dir / "LyCORIS").mkdir()
    (models_dir / "LyCORIS/loha.ckpt").write_bytes(b"loha")
    return Catalog([models_dir], FileHashes(Database(tmp_path / "easel.db")))


def chosen(prompt: str, catalog: Catalog) -> list[tuple[str, float, float]]:
    choice = choose_loras(prompt, catalog)
    assert choice.warnings == ()
    return [(use.path.name, use.text_strength, use.unet_strength) for use in choice.uses]


@pytest.mark.parametrize(
    ("tag", "file"),
    [
        ("ink", "ink.safetensors"),
        ("INK", "ink.safetensors"),
        (" ink ", "ink.safetensors"),
        ("ink.safetensors", "ink.safetensors"),
        ("old ink", "ink.safetensors"),
        ("paper v1.2", "paper v1.2.safetensors"),
        ("styles/paper v1.2", "paper v1.2.safetensors"),
        ("styles\\wash", "wash.safetensors"),
        ("a/same", "same.safetensors"),
        ("b/same", "same.pt"),
        ("loha", "loha.ckpt"),
    ],
)
def test_a_lora_is_found_by_what_people_call_it(catalog: Catalog, tag: str, file: str) -> None:
    assert chosen(f"a cat <lora:{tag}:0.5>", catalog) == [(file, 0.5, 0.5)]


@pytest.mark.parametrize("name", ["same", "twin", "", "Stable-diffusion/painter", "painter", "inkk", "x" * 5000])
def test_a_name_that_means_none_or_several_is_left_out_with_a_warning(catalog: Catalog, name: str) -> None:
    choice = choose_loras(f"<lora:{name}:1><lora:ink:1>", catalog)
    assert [use.path.name for use in choice.uses] == ["ink.safetensors"]
    assert len(choice.warnings) == 1
    assert choice.warnings[0].startswith("Unknown LoRA")
    assert choice.warnings[0].endswith("The picture is made without it.")
    assert len(choice.warnings[0]) < 400


def test_an_ambiguous_name_names_the_choices(catalog: Catalog) -> None:
    (warning,) = choose_loras("<lora:same:1>", catalog).warnings
    assert "'a/same'" in warning
    assert "'b/same'" in warning


@pytest.mark.parametrize("length", [8, 10, 12, 64])
def test_a_lora_is_found_by_either_hash(catalog: Catalog, length: int) -> None:
    catalog.start_hashing()
    assert catalog.wait_for_hashes(PATIENCE)
    card = next(card for card in catalog.loras() if card.name == "ink")
    for digest in (card.sha256, card.body_sha256):
        assert digest is not None
        assert chosen(f"<lora:{digest[:length].upper()}:1>", catalog) == [("ink.safetensors", 1.0, 1.0)]
    assert card.sha256 != card.body_sha256
    catalog.close()


def test_strengths_of_a_lora_that_is_named_twice_add_up(catalog: Catalog) -> None:
    prompt = "<lora:ink:0.5:0.25> a <lora:wash:1> <lora:Old Ink:0.25:1>"
    assert chosen(prompt, catalog) == [("ink.safetensors", 0.75, 1.25), ("wash.safetensors", 1.0, 1.0)]


def test_loras_in_comments_and_of_unknown_kinds_are_none(catalog: Catalog) -> None:
    assert chosen("a cat\n# <lora:nothing:1>\n<foo:ink:1> <lora:ink:abc> <lora:te=1>", catalog) == []


def test_hypernetworks_are_warned_of(catalog: Catalog) -> None:
    choice = choose_loras("<hypernet:h:1>", catalog)
    assert choice.warnings == ("<hypernet:h:1>: hypernetworks are not available here; the tag does nothing.",)


def test_other_loras_in_the_hires_prompt_are_warned_of(catalog: Catalog) -> None:
    assert choose_loras("a <lora:ink:1>", catalog, "b <lora:ink>").warnings == ()
    assert choose_loras("a <lora:ink:1>", catalog, "").warnings == ()
    assert choose_loras("a <lora:ink:1>", catalog, "b <lora:ink:0.5>").warnings == (HIRES_LORAS,)
    assert choose_loras("a", catalog, "b <lora:ink:0.5>").warnings == (HIRES_LORAS,)


def test_too_many_loras_are_refused(catalog: Catalog) -> None:
    with pytest.raises(InvalidRequest, match="more than 100 LoRAs") as error:
        choose_loras("".join(f"<lora:{number}:1>" for number in range(MAX_LORAS + 1)), catalog)
    assert error.value.field == "prompt"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.text(alphabet="<>:=#\n lora0.5inkhypernet", max_size=60))
def test_any_prompt_has_an_answer(catalog: Catalog, prompt: str) -> None:
    choose_loras(prompt, catalog)


@pytest.fixture
def resolver(catalog: Catalog, tmp_path: Path) -> Resolver:
    return Resolver(catalog, PreferenceStore(tmp_path / "preferences.json"), Limits())


def test_a_job_holds_its_loras_and_its_warnings(resolver: Resolver) -> None:
    submission = resolver.resolve(
        make_request(prompt="<lora:ink:0.5><lora:no:1>", negative_prompt="<lora:wash:1>")
    )
    assert [(use.name, use.unet_strength) for use in submission.job.loras] == [("ink", 0.5)]
    assert len(submission.warnings) == 1


def test_hashes_of_loras_reach_a_submission_before_it_runs(resolver: Resolver) -> None:
    submission = resolver.resolve(make_request(prompt="<lora:ink:0.5>"))
    assert submission.job.loras[0].short_hash == ""
    resolver.catalog.start_hashing()
    assert resolver.catalog.wait_for_hashes(PATIENCE)
    (use,) = resolver.brought_up_to_date(submission).job.loras
    assert len(use.short_hash) == 12
    resolver.catalog.close()


def test_hashes_are_written_as_a1111_does() -> None:
    uses = (LoraUse(Path("a"), name="a:b,c", short_hash="12"), LoraUse(Path("d"), name="d"))
    assert lora_hashes(uses) == "abc: 12"
    assert lora_hashes((*uses, LoraUse(Path("e"), name="e f", short_hash="34"))) == "abc: 12, e f: 34"


def test_a_file_that_was_replaced_has_its_new_alias(catalog: Catalog, models_dir: Path) -> None:
    assert chosen("<lora:Old Ink:1>", catalog) == [("ink.safetensors", 1.0, 1.0)]
    write(models_dir / "Lora/ink.safetensors", {"ss_output_name": "New Ink"}, b"longer ink")
    catalog.refresh()
    assert chosen("<lora:New Ink:1>", catalog) == [("ink.safetensors", 1.0, 1.0)]
    assert choose_loras("<lora:Old Ink:1>", catalog).uses == ()


def broken_files() -> dict[str, Callable[[Path], object]]:
    return {
        "missing": lambda path: None,
        "empty": lambda path: path.write_bytes(b""),
        "pickle": lambda path: path.write_bytes(b"PK\x03\x04" + b"x" * 100),
        "endless": lambda path: path.write_bytes(b"\xff" * 8 + b"{}"),
        "cut": lambda path: path.write_bytes((100).to_bytes(8, "little") + b'{"__metadata__"'),
        "deep": lambda path: path.write_bytes((200_000).to_bytes(8, "little") + b"[" * 200_000),
        "a list": lambda path: path.write_bytes((2).to_bytes(8, "little") + b"[]"),
        "not text": lambda path: path.write_bytes((2).to_bytes(8, "little") + b"\xff\xfe"),
        "odd": lambda path: path.write_bytes((20).to_bytes(8, "little") + b'{"__metadata__": [] }'[:20]),
    }


@pytest.mark.parametrize("kind", list(broken_files()))
def test_a_file_without_readable_metadata_has_none(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "l.safetensors"
    broken_files()[kind](path)
    assert read_metadata(path) == {}


def test_metadata_can_always_be_sent_as_json(tmp_path: Path) -> None:
    nested = '{"a": ' + "[" * 3000 + "]" * 3000 + "}"
    texts = {"n": '{"x": [1e999, NaN, "\\ud800", 1]}', "bad": "{not json", "half": "\ud800", "deep": nested}
    found = readable_metadata(write(tmp_path / "l.safetensors", texts))
    assert found["n"] == {"x": [None, None, "?", 1]}
    assert (found["bad"], found["half"]) == ("{not json", "?")
    json.dumps(found, allow_nan=False).encode()
