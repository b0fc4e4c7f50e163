from __future__ import annotations

import itertools

import pytest

from generation.infotext_versions import is_before

ASCENDING = [
    "1.6.0.dev1", "1.6.0a1", "1.6.0-alpha.2", "1.6b1", "v1.6.0-RC", "1.6.0rc1.dev2", "1.6.0-rc1", "1.6",
    "1.6.0+local", "1.6.0.post0", "v1.6.0-225", "1.6.0.post226", "1.6.1", "v1.10.1", "1!0.1",
]  # fmt: skip


@pytest.mark.parametrize(("older", "newer"), list(itertools.pairwise(ASCENDING)))
def test_versions_are_ordered_as_pep_440_orders_them(older: str, newer: str) -> None:
    assert is_before(older, newer)
    assert not is_before(newer, older)


@pytest.mark.parametrize(("one", "two"), [("1.6", "v1.6.0"), ("1.6.0-225", "v1.6.0-225-gabc123")])
def test_equal_versions(one: str, two: str) -> None:
    assert not is_before(one, two)
    assert not is_before(two, one)


@pytest.mark.parametrize("text", [None, 3, "", "easel-v0.1.0", "f2.0.1v1.10.1-previous-665-gae", "1" * 200])
def test_what_is_no_version_is_unknown(text: object) -> None:
    assert not is_before(text, "1.0")
    assert is_before("1.0", text, unknown=True)
