from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.errors import InvalidRequest
from generation.job import (
    Event,
    Failed,
    Finished,
    JobError,
    JobId,
    JobState,
    JobStatus,
    Phase,
    PhaseChanged,
    Preview,
    Previewed,
    Produced,
    Started,
    Stepped,
    Stopped,
    Warned,
    advance,
)
from generation.model_card import ModelCard
from generation.result import GeneratedImage

IMAGE = GeneratedImage(seed=1, infotext="a", width=8, height=8, png=b"png")
FRESH = JobStatus(JobId("j"))

events = st.one_of(
    st.just(Started()),
    st.builds(PhaseChanged, st.sampled_from(Phase), st.none() | st.floats(0, 1)),
    st.builds(Stepped, st.integers(1, 20), st.just(20), st.integers(1, 3), st.just(3)),
    st.builds(Previewed, st.builds(Preview, st.integers(0, 20), st.just(b"jpeg"))),
    st.just(Produced(IMAGE)),
    st.builds(Warned, st.text()),
    st.just(Finished()),
    st.just(Stopped()),
    st.just(Failed(JobError("no"))),
)


@given(st.lists(events, max_size=20))
def test_in_any_sequence_of_events_final_stays_final_and_versions_grow(sequence: list[Event]) -> None:
    status = FRESH
    for time, event in enumerate(sequence):
        after = advance(status, event, float(time))
        if status.state.is_final:
            assert after is status
        else:
            assert after.version == status.version + 1
            assert after.images[: len(status.images)] == status.images
            assert after.warnings[: len(status.warnings)] == status.warnings
        assert 0 <= after.progress <= 1
        assert after.state.is_final == (after.finished is not None)
        assert not after.state.is_final or after.phase is None
        status = after


def fold(*sequence: Event) -> JobStatus:
    status = FRESH
    for time, event in enumerate(sequence, 1):
        status = advance(status, event, float(time))
    return status


def test_a_usual_course() -> None:
    status = fold(
        Started(),
        PhaseChanged(Phase.LOADING, 0.5),
        PhaseChanged(Phase.SAMPLING),
        Stepped(5, 10, 2, 2),
        Previewed(Preview(5, b"jpeg")),
        PhaseChanged(Phase.SAMPLING),
        Warned("hm"),
        Produced(IMAGE),
    )
    assert (status.state, status.phase, status.phase_fraction) == (JobState.RUNNING, Phase.SAMPLING, None)
    assert (status.started, status.sampling_since, status.progress) == (1.0, 3.0, 0.75)
    assert (status.images, status.warnings, status.preview) == ((IMAGE,), ("hm",), Preview(5, b"jpeg"))


@pytest.mark.parametrize(
    ("event", "state"),
    [(Finished(), JobState.DONE), (Stopped(), JobState.STOPPED), (Failed(JobError("no")), JobState.ERROR)],
)
def test_the_last_event_decides_the_final_state(event: Event, state: JobState) -> None:
    status = fold(Started(), event)
    assert (status.state, status.finished) == (state, 2.0)
    assert (status.error is not None) == (state is JobState.ERROR)
    assert status.progress == (1.0 if state is JobState.DONE else 0.0)


def test_user_errors_speak_for_themselves_and_bugs_name_the_job() -> None:
    assert JobError.of(InvalidRequest("Too big.", "Shrink it."), "0123456789") == JobError(
        "Too big.", "Shrink it.", 422
    )
    bug = JobError.of(KeyError("x"), "0123456789abcdef")
    assert "01234567" in bug.message
    assert "KeyError" in bug.hint
    assert bug.status == 500


def test_a_saved_picture_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"png")
    saved = IMAGE.saved_as(file)
    assert (saved.png, saved.path) == (b"", file)
    assert saved.read_png() == b"png" == IMAGE.read_png()


def test_a_model_is_titled_by_its_hash_once_that_is_known() -> None:
    card = ModelCard(name="painter", filename="painter.safetensors", path=Path("painter.safetensors"))
    assert (card.title, card.short_hash) == ("painter.safetensors", None)
    known = card.model_copy(update={"sha256": "0123456789abcdef"})
    assert (known.title, known.short_hash) == ("painter.safetensors [0123456789]", "0123456789")
