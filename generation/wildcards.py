"""Dynamic prompts: `{a|b}`, `{2$$a|b|c}`, `{3::often|rarely}` and `__wildcard__`, drawn stably from a seed.

Not part of A1111's grammar, so it runs before it and never by itself. What does not fit is left as text.

    {a|b|c}                one of them; `5::a` is five times as likely as a plain one
    {2$$a|b|c}             two different ones with ", " between;  {1-2$$…} one or two;  {2$$ and $$…} with " and "
    __animals__            a line of the wildcard "animals";  __animals/*__ of any that fits;  lines may hold both
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import pairwise

MAX_DEPTH = 30  # of brackets in brackets and wildcards in wildcards
MAX_CHARACTERS = 100_000
_SEPARATOR = ", "

_TOKEN = re.compile(r"\\.|[{}|]|__(?:(?!__)[\w\-./* ])+__", re.DOTALL)
_COUNT = re.compile(r"(\d{1,4})?(-)?(\d{1,4})?\$\$(?:((?:(?!\$\$)[^{}|])*)\$\$)?")
_WEIGHT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)::")


@dataclass(frozen=True, slots=True)
class Expansion:
    """The prompt with everything drawn; `warnings` are sentences about what was left as text."""

    text: str
    warnings: tuple[str, ...] = ()


def expand(text: str, wildcards: Mapping[str, Sequence[str]], seed: int) -> Expansion:
    """The text with every choice drawn from `seed`: equal arguments give equal results, on any machine."""
    drawing = _Drawing({name.casefold(): lines for name, lines in wildcards.items()}, random.Random(seed))
    drawn = drawing.expand(text, 0)
    if len(drawn) > MAX_CHARACTERS >= len(text):
        return Expansion(
            text, (f"The prompt would grow beyond {MAX_CHARACTERS:,} characters; it is left as it is.",)
        )
    return Expansion(drawn, tuple(dict.fromkeys(drawing.warnings)))


def wildcard_lines(text: str) -> list[str]:
    """The lines of a wildcard file that count: neither blank nor `#` comments."""
    lines = (line.strip() for line in text.removeprefix("\ufeff").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


class _Drawing:
    """One expansion: what there is to draw from, the dice, and how much was done."""

    def __init__(self, wildcards: Mapping[str, Sequence[str]], dice: random.Random) -> None:
        self.wildcards = wildcards
        self.dice = dice
        self.warnings: list[str] = []
        self._work = 0

    def expand(self, text: str, depth: int) -> str:
        """The text with its choices drawn. Options that are not chosen are not looked into."""
        if depth > MAX_DEPTH:
            self.warnings.append(f"Choices are nested more than {MAX_DEPTH} deep; the innermost are left as text.")
            return text
        parts: list[str] = []
        position = 0
        closers = _closers(text)
        while match := _TOKEN.search(text, position):
            parts.append(text[position : match.start()])
            position = match.end()
            if match[0].startswith("__"):
                parts.append(self._wildcard(match[0], depth))
            elif match[0] == "{" and match.start() in closers:
                position = closers[match.start()] + 1
                parts.append(self._choice(text[match.end() : position - 1], depth))
            else:
                parts.append(match[0])
        parts.append(text[position:])
        drawn = "".join(parts)
        self._work += len(drawn) + 1  # the 1: empty texts must not be free, or they could double at every depth
        return drawn

    def _wildcard(self, token: str, depth: int) -> str:
        name = token[2:-2].strip().casefold()
        names = [name] if name in self.wildcards else []
        if "*" in name:
            names = sorted(known for known in self.wildcards if fnmatchcase(known, name))
        lines = [line for known in names for line in self.wildcards[known]]
        if not lines:
            near = get_close_matches(name, self.wildcards, n=1)
            hint = f" Did you mean __{near[0]}__?" if near else ""
            self.warnings.append(f"There is no wildcard {token}; it is left as text.{hint}")
            return token
        return self._further(self._pick(lines), depth)

    def _choice(self, inside: str, depth: int) -> str:
        count = _COUNT.match(inside)
        options = _options(inside[count.end() :] if count else inside)
        if count is None and len(options) == 1:
            return "{" + self._further(options[0], depth) + "}"  # braces around something else
        wanted, separator = self._how_many(count, len(options))
        drawn: list[str] = []
        weighted = [_weigh(option) for option in options]
        for _ in range(wanted):
            index = self._draw([weight for weight, _ in weighted])
            drawn.append(self._further(weighted.pop(index)[1], depth))
        return separator.join(drawn)

    def _how_many(self, count: re.Match[str] | None, available: int) -> tuple[int, str]:
        if count is None:
            return 1, _SEPARATOR
        low = int(count[1] or (0 if count[2] else 1))
        high = int(count[3] or available) if count[2] else low
        low, high = min(low, high, available), min(max(low, high), available)
        return low + int(self.dice.random() * (high - low + 1)), _SEPARATOR if count[4] is None else count[4]

    def _further(self, text: str, depth: int) -> str:
        return text if self._work > MAX_CHARACTERS else self.expand(text, depth + 1)

    def _pick(self, lines: Sequence[str]) -> str:
        return lines[int(self.dice.random() * len(lines))]

    def _draw(self, weights: Sequence[float]) -> int:
        """An index, as likely as its weight. Only `Random.random` is used: its numbers never change."""
        total = sum(weights)
        point = self.dice.random() * total
        for index, weight in enumerate(weights):
            point -= weight
            if point < 0:
                return index
        return len(weights) - 1


def _weigh(option: str) -> tuple[float, str]:
    match = _WEIGHT.match(option)
    return (min(float(match[1]), 1e6), option[match.end() :]) if match else (1.0, option)


def _closers(text: str) -> dict[int, int]:
    """Positions of the opening braces that have a partner, with that partner's."""
    closers: dict[int, int] = {}
    stack: list[int] = []
    for match in _TOKEN.finditer(text):
        if match[0] == "{":
            stack.append(match.start())
        elif match[0] == "}" and stack:
            closers[stack.pop()] = match.start()
    return closers


def _options(inside: str) -> list[str]:
    """The text between bars that are not inside inner braces."""
    edges, depth = [-1], 0
    for match in _TOKEN.finditer(inside):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if match[0] == "|" and depth == 0:
            edges.append(match.start())
    edges.append(len(inside))
    return [inside[start + 1 : end] for start, end in pairwise(edges)]


def missing_wildcards(text: str, known: Iterable[str]) -> list[str]:
    """Names of the wildcards in a text that no known one fits, without looking into any."""
    names = [name.casefold() for name in known]
    wanted = (match[0][2:-2].strip() for match in _TOKEN.finditer(text) if match[0].startswith("__"))
    return [name for name in dict.fromkeys(wanted) if not any(fnmatchcase(one, name.casefold()) for one in names)]
