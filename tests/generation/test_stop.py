from __future__ import annotations

from generation.stop import Stop


def test_nothing_is_asked_for_at_first() -> None:
    stop = Stop()
    assert (stop.requested, stop.ends_batch, stop.keep) == (False, False, True)


def test_discarding_wins_over_keeping_in_either_order() -> None:
    for first, second in ((True, False), (False, True)):
        stop = Stop()
        stop.now(keep=first)
        stop.now(keep=second)
        assert (stop.requested, stop.ends_batch, stop.keep) == (True, True, False)


def test_a_skip_ends_one_batch_only() -> None:
    stop = Stop()
    stop.skip_batch()
    assert (stop.ends_batch, stop.requested) == (True, False)
    stop.batch_begins()
    assert not stop.ends_batch


def test_a_stop_outlasts_the_batch() -> None:
    stop = Stop()
    stop.now(keep=True)
    stop.batch_begins()
    assert stop.ends_batch
