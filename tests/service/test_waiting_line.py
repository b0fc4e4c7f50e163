from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.job import JobStatus
from service.job_entry import Entry
from service.waiting_line import Move, WaitingLine
from tests.service.values import a_submission


def entry(owner: str = "", held: str = "") -> Entry:
    submission = a_submission(owner=owner)
    return Entry(submission, JobStatus(submission.job.id, held=held))


def line_of(*entries: Entry) -> WaitingLine:
    line = WaitingLine()
    for waiting in entries:
        line.add(waiting)
    return line


@pytest.mark.parametrize(
    ("to", "expected"), [(Move.FRONT, "cabd"), (Move.UP, "acbd"), (Move.DOWN, "abdc"), (Move.BACK, "abdc")]
)
def test_a_job_moves_where_it_is_told(to: Move, expected: str) -> None:
    entries = {name: entry() for name in "abcd"}
    line = line_of(*entries.values())
    line.move(entries["c"], to, None)
    assert list(line) == [entries[name] for name in expected]


def test_at_the_ends_a_move_changes_nothing() -> None:
    first, last = entry(), entry()
    line = line_of(first, last)
    line.move(first, Move.UP, None)
    line.move(last, Move.DOWN, None)
    assert list(line) == [first, last]


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=8), st.data())
def test_an_owner_never_overtakes_others(owners: list[str], data: st.DataObject) -> None:
    entries = [entry(owner) for owner in owners]
    line = line_of(*entries)
    moved = data.draw(st.sampled_from(entries))
    line.move(moved, data.draw(st.sampled_from(Move)), moved.job.owner)
    assert [other.job.owner for other in line] == owners
    assert {other.job.id for other in line} == {other.job.id for other in entries}
    others = [other for other in entries if other is not moved]
    assert [other for other in line if other is not moved] == others or moved.job.owner in owners


def test_held_jobs_let_others_pass() -> None:
    held, free = entry(held="wait"), entry()
    line = line_of(held, free)
    assert line.has_next()
    assert (line.position(held), line.position(free)) == (0, 0)
    assert line.take() is free
    assert not line.has_next()
    held.status = replace(held.status, held="")
    assert line.take() is held


def test_nothing_is_taken_from_a_paused_line() -> None:
    line = line_of(entry())
    line.is_paused = True
    assert not line.has_next()
    line.is_paused = False
    assert line.has_next()
