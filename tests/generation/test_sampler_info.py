from __future__ import annotations

import json
from pathlib import Path

import pytest

from generation.errors import UnknownName
from generation.sampler_info import SAMPLERS, SCHEDULES, effective_schedule, find_sampler, find_schedule, resolve

REFERENCE = json.loads((Path(__file__).parent.parent / "reference/infotext_vectors.json").read_text())
# Where A1111 silently takes another sampler or schedule; here these are mended or refused.
TRAPS = {"Euler SGM Uniform", "nonsense", None}


def known(case: dict) -> bool:
    """True for vectors about samplers and schedules that exist here and that A1111 does not get wrong."""
    names = {info.name for info in SAMPLERS}
    labels = {info.label for info in SCHEDULES}
    is_trap = case["sampler"] in TRAPS or case["scheduler"] == "nonsense"
    return not is_trap and case["output"][0] in names and case["output"][1] in labels


@pytest.mark.parametrize("case", [case for case in REFERENCE["sampler_resolution"] if known(case)], ids=str)
def test_names_are_resolved_to_what_a1111_samples_with(case: dict) -> None:
    sampler, schedule = resolve(case["sampler"], case["scheduler"] or "")
    assert sampler == case["output"][0]
    assert effective_schedule(sampler, schedule) == effective_schedule(*case["output"])


@pytest.mark.parametrize("info", SAMPLERS, ids=lambda info: info.name)
def test_every_name_alias_and_combination_is_found(info: object) -> None:
    for name in (info.name, info.name.upper(), f" {info.name} ", *info.aliases):
        assert find_sampler(name) is info
    for schedule in SCHEDULES:
        for label in (schedule.label, *schedule.aliases):
            assert resolve(f"{info.name} {label}") == (info.name, schedule.label)


@pytest.mark.parametrize("info", SCHEDULES, ids=lambda info: info.name)
def test_schedules_go_by_name_label_and_alias(info: object) -> None:
    for name in (info.name, info.label, info.label.lower(), *info.aliases):
        assert find_schedule(name) is info


def test_the_longest_schedule_in_a_name_wins() -> None:
    assert resolve("Euler SGM Uniform") == ("Euler", "SGM Uniform")


def test_a_schedule_that_was_given_beats_the_one_in_the_name() -> None:
    assert resolve("Euler Karras", "Exponential") == ("Euler", "Exponential")
    assert resolve("Euler Karras", "Automatic") == ("Euler", "Karras")


@pytest.mark.parametrize(
    ("sampler", "schedule"), [("nonsense", ""), ("Euler", "nonsense"), ("nonsense Karras", "")]
)
def test_unknown_names_are_errors_with_the_nearest_names(sampler: str, schedule: str) -> None:
    with pytest.raises(UnknownName, match="nonsense") as caught:
        resolve(sampler, schedule)
    assert caught.value.hint


def test_names_and_aliases_are_unique() -> None:
    samplers = [name.casefold() for info in SAMPLERS for name in {info.name.casefold(), *info.aliases}]
    schedules = [
        name.casefold() for info in SCHEDULES for name in {info.name, info.label.casefold(), *info.aliases}
    ]
    assert len(samplers) == len(set(samplers))
    assert len(schedules) == len(set(schedules))
    assert {info.default_schedule for info in SAMPLERS} <= {info.label for info in SCHEDULES}
