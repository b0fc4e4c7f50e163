"""Prompts that change while the picture is made: `[from:to:when]` and `[a|b]`, as A1111 reads them.

A1111 describes this as an ambiguous grammar. It comes down to one rule, used here: a bracket pair is *sound* if
all bracket pairs inside are sound and its own colons and bars fit one of the forms below. Only sound brackets
are read; the brackets and colons of the others are text. A bar that belongs to no sound bracket makes the whole
prompt literal, and so does a backslash with nothing to escape. (Where unsound brackets stand beside sound ones
A1111 itself reads some prompts differently from one start to the next; the sound reading is always among its own.)

    ( text )   ( text : text )   [ text ]     emphasis, left to `prompt_attention`
    [ to : when ]   [ from : to : when ]      scheduled; `when` is a number, spaces around it allowed
    [ a | b | … ]                             alternating, options may be empty
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from generation.errors import InvalidRequest

MAX_WORK = 4_000_000  # token visits for one prompt; real prompts need some thousand

_TOKEN = re.compile(r"(?:[^\\\[\]():|]+|\\.)+|[\[\]():|]")
_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*")
_PAIRS = {")": "(", "]": "["}


class ScheduledText(NamedTuple):
    """`text` is used up to and including `until_step`, counted from 1."""

    until_step: int
    text: str


class Timeline(NamedTuple):
    """How `when` becomes a step. In a hires pass `steps` is the number of its own steps.

    `is_old`: A1111 before 1.6 ("Old prompt editing timelines"): numbers below 1 are shares, others steps.
    """

    steps: int
    first_step: int = 0  # steps made before this pass
    first_share: float = 0.0  # 1.0 in a hires pass
    is_old: bool = False

    def step_of(self, when: str) -> int:
        """The last step of the earlier text; below 1 = never shown."""
        number = float(when)
        if self.is_old:
            number = number * self.steps if number < 1 else number
        elif "." in when:
            number = (number - self.first_share) * self.steps
        else:
            number -= self.first_step
        # The limits keep `1e999` from overflowing int().
        return int(max(-1.0, min(float(self.steps), number)))


def timeline(steps: int, hires_steps: int | None = None, old_timelines: bool = False) -> Timeline:
    """The timeline of the first pass, or of the hires pass if `hires_steps` is given."""
    if hires_steps is None or old_timelines:
        return Timeline(steps, is_old=old_timelines)
    return Timeline(hires_steps, steps, 1.0)


def prompt_schedule(
    text: str, steps: int, hires_steps: int | None = None, old_timelines: bool = False
) -> list[ScheduledText]:
    """The texts in the order of their use; the last is for `steps` (`hires_steps` in a hires pass).

    Unreadable prompts are literal: one entry. Raises InvalidRequest if the prompt is so long and changes so
    often that working it out would take minutes.
    """
    line = timeline(steps, hires_steps, old_timelines)
    parsed = _parse(text)
    if parsed is None:
        return [ScheduledText(line.steps, text)]
    until = _boundaries(parsed, line)
    if len(until) * len(parsed.tokens) > MAX_WORK:
        message = f"The prompt has {len(text)} characters and changes {len(until)} times: too much to work out."
        raise InvalidRequest(message, "Shorten it, or use fewer [a|b] alternations or steps.", "prompt")
    return [ScheduledText(step, parsed.at_step(step, line)) for step in until]


def is_readable(text: str) -> bool:
    """False if brackets and bars do not fit, so that the whole prompt is taken literally."""
    return _parse(text) is not None


def active_index(schedule: Sequence[ScheduledText], call: int) -> int:
    """Which entry to use at denoiser call `call`, counted from 0: the first whose `until_step` >= call.

    A1111 compares a count from 0 with bounds from 1, so a change "at 5" comes after six calls. Samplers that
    call the model twice per step have their schedule made for twice the steps and count calls.
    """
    return next((index for index, entry in enumerate(schedule) if call <= entry.until_step), 0)


def active_text(schedule: Sequence[ScheduledText], call: int) -> str:
    """The text in use at denoiser call `call`, counted from 0."""
    return schedule[active_index(schedule, call)].text


@dataclass(frozen=True, slots=True)
class _Bracket:
    """A scheduled (`when` given) or alternating bracket; `options` are token ranges, `end` is past its closer."""

    options: tuple[tuple[int, int], ...]
    end: int
    when: str | None = None

    def option_at(self, step: int, line: Timeline) -> tuple[int, int]:
        if self.when is None:
            return self.options[(step - 1) % len(self.options)]
        return self.options[0 if step <= line.step_of(self.when) else 1]


@dataclass(frozen=True, slots=True)
class _Parsed:
    tokens: Sequence[str]
    brackets: Mapping[int, _Bracket]  # by the index of their opening token

    def at_step(self, step: int, line: Timeline) -> str:
        """The text at `step`. Iterative: brackets may be nested thousands deep."""
        text: list[str] = []
        returns: list[tuple[int, int]] = []  # (end of the option being read, where to go on)
        index = 0
        while True:
            if returns and index == returns[-1][0]:
                index = returns.pop()[1]
            elif index >= len(self.tokens):
                return "".join(text)
            elif bracket := self.brackets.get(index):
                index, end = bracket.option_at(step, line)
                returns.append((end, bracket.end))
            else:
                text.append(self.tokens[index])
                index += 1


def _boundaries(parsed: _Parsed, line: Timeline) -> list[int]:
    whens = {bracket.when for bracket in parsed.brackets.values()}
    if None in whens:
        return list(range(1, line.steps + 1))
    steps = {line.step_of(when) for when in whens if when is not None}
    return sorted({step for step in steps if step >= 1} | {line.steps})


@dataclass(slots=True)
class _Open:
    """A bracket that is still open: its token index and the separators directly inside."""

    opener: str
    index: int
    colons: list[int] = field(default_factory=list)
    bars: list[int] = field(default_factory=list)


def _parse(text: str) -> _Parsed | None:
    """Tokens and readable brackets; None if the whole text is literal. One pass, no recursion."""
    tokens = _TOKEN.findall(text)
    if sum(map(len, tokens)) != len(text):
        return None
    brackets: dict[int, _Bracket] = {}
    stack: list[_Open] = []
    for index, token in enumerate(tokens):
        if token in ("(", "["):
            stack.append(_Open(token, index))
        elif token == ":" and stack:
            stack[-1].colons.append(index)
        elif token == "|":
            if not stack:
                return None
            stack[-1].bars.append(index)
        elif token in _PAIRS:
            if stack and stack[-1].opener == _PAIRS[token] and _is_sound(stack[-1], tokens, index):
                _close(stack.pop(), tokens, index, brackets)
            elif any(bracket.bars for bracket in stack):
                return None
            else:
                stack.clear()  # what encloses an unsound bracket is unsound, too
    return None if any(bracket.bars for bracket in stack) else _Parsed(tokens, brackets)


def _is_sound(bracket: _Open, tokens: Sequence[str], closer: int) -> bool:
    colons, bars = len(bracket.colons), len(bracket.bars)
    if bracket.opener == "(":
        return bars == 0 and colons <= 1
    if bars:
        return colons == 0
    return colons == 0 or (colons <= 2 and _when(bracket, tokens, closer) is not None)


def _when(bracket: _Open, tokens: Sequence[str], closer: int) -> str | None:
    """The number between the last colon and the closer, if there is nothing else."""
    if bracket.colons[-1] != closer - 2:
        return None
    match = _NUMBER.fullmatch(tokens[closer - 1])
    return match[1] if match else None


def _close(bracket: _Open, tokens: Sequence[str], closer: int, brackets: dict[int, _Bracket]) -> None:
    """Note a sound bracket, unless it is emphasis."""
    if bracket.bars:
        edges = [bracket.index, *bracket.bars, closer]
        options = tuple((start + 1, end) for start, end in pairwise(edges))
        brackets[bracket.index] = _Bracket(options, closer + 1)
    elif bracket.opener == "[" and bracket.colons:
        start = bracket.index + 1
        edges = [start - 1, *bracket.colons]
        ranges = [(first + 1, end) for first, end in pairwise(edges)]
        # `[to:when]` has nothing before.
        options = ((start, start), ranges[0]) if len(ranges) == 1 else (ranges[0], ranges[1])
        brackets[bracket.index] = _Bracket(options, closer + 1, _when(bracket, tokens, closer))
