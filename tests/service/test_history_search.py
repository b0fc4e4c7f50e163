from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.errors import InvalidRequest, UnknownName
from service.database import Database
from service.history import History
from service.history_search import Search, clean_tag, words
from tests.service.values import PAINTER, a_job, an_image


@pytest.fixture
def history(tmp_path: Path) -> History:
    clock = count(100.0, 100.0)
    return History(Database(tmp_path / "easel.db"), tmp_path / "outputs", clock=lambda: next(clock))


@pytest.fixture
def gallery(history: History, tmp_path: Path) -> tuple[History, dict[str, int]]:
    """Pictures "cat", "dog", "boat" at 100, 200 and 300 seconds."""
    sketcher = PAINTER.model_copy(update={"name": "anime/Sketcher", "sha256": "abcdef0123" + "0" * 54})
    jobs = {
        "cat": a_job(prompt="A red Cat, sitting\non a mat", negative_prompt="blurry", owner="ann"),
        "dog": a_job(prompt="ÄRGERLICHER Hund 100%", owner="bob"),
        "boat": a_job(prompt="boat", checkpoint=sketcher, owner="ann"),
    }
    return (
        history,
        {
            name: history.add(job, replace(an_image(), path=tmp_path / f"outputs/{name}.png"))
            for name, job in jobs.items()
        },
    )


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (Search(), ["boat", "dog", "cat"]),
        (Search(text="cat"), ["cat"]),
        (Search(text="CAT red"), ["cat"]),
        (Search(text="cat boat"), []),
        (Search(text='"red cat"'), ["cat"]),
        (Search(text='"cat red"'), []),
        (Search(text="ärger"), ["dog"]),
        (Search(text="100%"), ["dog"]),
        (Search(text="1_0"), []),
        (Search(text="BLURRY"), ["cat"]),
        (Search(text="'; DROP TABLE images; --"), []),
        (Search(model="sketch"), ["boat"]),
        (Search(model="ABCDEF0123"), ["boat"]),
        (Search(model="bcdef0123"), []),
        (Search(since=200), ["boat", "dog"]),
        (Search(until=200), ["cat"]),
        (Search(since=200, until=300), ["dog"]),
        (Search(owner="ann"), ["boat", "cat"]),
        (Search(owner="ann", text="a", since=150), ["boat"]),
        (Search(is_trashed=True), []),
    ],
)
def test_pictures_are_found(gallery: tuple[History, dict[str, int]], search: Search, expected: list[str]) -> None:
    history, ids = gallery
    assert [row.id for row in history.search(search)] == [ids[name] for name in expected]
    assert history.count_found(search) == len(expected)


def test_what_is_found_comes_in_pages(gallery: tuple[History, dict[str, int]]) -> None:
    history, ids = gallery
    assert [row.id for row in history.search(Search(owner="ann"), limit=1, offset=1)] == [ids["cat"]]


def test_favourites_are_marked_and_found(gallery: tuple[History, dict[str, int]]) -> None:
    history, ids = gallery
    assert history.set_favourite(ids["dog"], True).is_favourite
    assert [row.id for row in history.search(Search(is_favourite=True))] == [ids["dog"]]
    assert history.count_found(Search(is_favourite=False)) == 2
    assert not history.set_favourite(ids["dog"], False).is_favourite
    with pytest.raises(UnknownName):
        history.set_favourite(ids["dog"], True, owner="ann")


def test_tags_are_cleaned_counted_and_found(gallery: tuple[History, dict[str, int]]) -> None:
    history, ids = gallery
    assert history.set_tags(ids["cat"], ["  Good  One ", "pets", "PETS", ""]).tags == ("good one", "pets")
    history.set_tags(ids["dog"], ["pets"])
    assert history.tags() == {"pets": 2, "good one": 1}
    assert history.tags(owner="bob") == {"pets": 1}
    assert [row.id for row in history.search(Search(tag="Pets"))] == [ids["dog"], ids["cat"]]
    assert [row.id for row in history.search(Search(text="good"))] == [ids["cat"]]
    assert history.set_tags(ids["cat"], []).tags == ()
    assert history.recent()[1].tags == ("pets",)
    with pytest.raises(InvalidRequest, match="has 101 letters"):
        history.set_tags(ids["cat"], ["x" * 101])
    with pytest.raises(UnknownName):
        history.set_tags(ids["dog"], ["x"], owner="ann")


def test_tags_go_with_their_picture(gallery: tuple[History, dict[str, int]]) -> None:
    history, ids = gallery
    history.set_tags(ids["cat"], ["pets"])
    history.forget(ids["cat"])
    assert history.tags() == {}
    with pytest.raises(UnknownName):
        history.get(ids["cat"])


@given(st.text(max_size=40))
def test_any_text_can_be_looked_for(text: str) -> None:
    assert all(word and word == word.strip() for word in words(text))
    assert clean_tag(clean_tag(text)) == clean_tag(text)


def test_words_and_quoted_parts() -> None:
    assert words('Red  "Big Cat" mat "open end') == ["red", "big cat", "mat", "open end"]
    assert words('""') == []
