from __future__ import annotations

import pickle

import pytest

from generation import errors
from generation.errors import InvalidRequest, UserError, unknown_name

CLASSES = [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, UserError)]


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_errors_survive_pickling_and_carry_a_client_or_capacity_status(error: type[UserError]) -> None:
    one = error("Too big: 9.", "Take 8.", "steps")
    two = pickle.loads(pickle.dumps(one))
    assert type(two) is error
    assert (two.message, two.hint, two.field) == ("Too big: 9.", "Take 8.", "steps")
    assert error.status in (404, 422, 503, 507)


def test_an_error_reads_as_message_and_hint() -> None:
    assert str(InvalidRequest("Too big: 9.", "Take 8.")) == "Too big: 9. Take 8."
    assert str(InvalidRequest("Too big: 9.")) == "Too big: 9."


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("euler aa", ["Euler a", "Heun"], "Did you mean 'Euler a'?"),
        ("zzz", ["Euler a", "Heun"], "Did you mean 'Euler a' or 'Heun'?"),
        ("zzz", [], ""),
    ],
)
def test_an_unknown_name_comes_with_the_nearest(name: str, known: list[str], hint: str) -> None:
    error = unknown_name("sampler", name, known, "sampler")
    assert error.message == f"Unknown sampler {name!r}."
    assert (error.hint, error.field) == (hint, "sampler")
