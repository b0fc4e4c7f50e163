from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.errors import InvalidRequest
from generation.styles import Style
from generation.styles_csv import read_styles, write_styles

REFERENCE = json.loads((Path(__file__).parent.parent / "reference/prompt_vectors.json").read_text())["styles_csv"]

texts = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), max_size=40
).map(str.strip)  # fmt: skip
styles = st.builds(Style, texts.filter(lambda name: name and not name.startswith("#")), texts, texts)


def test_the_file_is_read_as_a1111_reads_it() -> None:
    assert read_styles(REFERENCE["file"]) == [Style(*row) for row in REFERENCE["loaded"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_files_in_any_usual_encoding(encoding: str) -> None:
    data = "name,prompt,negative_prompt\r\ncafé,é,ü\r\n".encode(encoding)
    assert read_styles(data) == [Style("café", "é", "ü")]


def test_files_of_early_versions_and_missing_columns() -> None:
    assert read_styles("name,text\na, b\n") == [Style("a", "b")]
    assert read_styles("name\na\n\n,x\n") == [Style("a")]


def test_of_equal_names_the_last_wins() -> None:
    assert read_styles("name,prompt\na,1\nb,2\na,3\n") == [Style("a", "3"), Style("b", "2")]


@given(st.lists(styles, max_size=5, unique_by=lambda style: style.name))
def test_what_is_written_is_read_again(some: list[Style]) -> None:
    data = write_styles(some)
    assert data.startswith("\ufeffname,prompt,negative_prompt".encode())
    assert read_styles(data) == some


@pytest.mark.parametrize("data", ["", "prompt\na\n", b"\x89PNG", 'name\n"' + "x" * 200_000, "\0"])
def test_what_is_no_styles_file_is_refused(data: str | bytes) -> None:
    with pytest.raises(InvalidRequest, match="styles file"):
        read_styles(data)


@pytest.mark.parametrize(
    "style",
    [Style(""), Style("#a"), Style(" a"), Style("a", "\0"), Style("a", "b", "x" * 100_001), Style("a", " b")],
)
def test_styles_that_would_not_come_back_are_refused(style: Style) -> None:
    with pytest.raises(InvalidRequest):
        write_styles([style])


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = read_styles("name,prompt\n" + text)
    except InvalidRequest:
        return
    assert all(style.name for style in found)
