"""Attention in prompts: `(word:1.2)`, `(word)`, `[word]`, escapes and BREAK, as A1111 reads them."""

from __future__ import annotations

import re

import numpy as np

from generation.errors import InvalidRequest

BREAK = "BREAK"
BREAK_WEIGHT = -1.0  # ("BREAK", -1.0) starts a new chunk; any other weight makes it an ordinary word
ROUND_MULTIPLIER = 1.1
SQUARE_MULTIPLIER = 1 / 1.1

_TOKEN = re.compile(
    r"""
    \\[()\[\]\\]                      # an escaped bracket or backslash
    | \\                              # a lone backslash: dropped
    | [(\[]
    | :\s*(?P<weight>[+-]?[.\d]+)\s*\)   # the weight that ends a round bracket
    | [)\]]
    | [^\\()\[\]:]+
    | :
    """,
    re.VERBOSE,
)
_BREAK_WORD = re.compile(r"\bBREAK\b")


def parse_attention(text: str) -> list[tuple[str, float]]:
    """The text in runs of equal weight: `(run, weight)`, at least one; a chunk break is `("BREAK", -1.0)`.

    Unclosed brackets reach to the end, closers without an opener are text. Linear in the length of the text
    but for one vectorised multiplication per bracket. Raises InvalidRequest for a weight such as `1.1.1`.
    """
    runs: list[str] = []
    scales: list[tuple[int, int, float]] = []  # (first run, end, multiplier), in the order they apply
    rounds: list[int] = []
    squares: list[int] = []
    for match in _TOKEN.finditer(text):
        token, weight = match[0], match["weight"]
        if token[0] == "\\":
            runs.append(token[1:])
        elif token == "(":
            rounds.append(len(runs))
        elif token == "[":
            squares.append(len(runs))
        elif weight is not None and rounds:
            scales.append((rounds.pop(), len(runs), _number(weight, token)))
        elif token == ")" and rounds:
            scales.append((rounds.pop(), len(runs), ROUND_MULTIPLIER))
        elif token == "]" and squares:
            scales.append((squares.pop(), len(runs), SQUARE_MULTIPLIER))
        else:
            runs += _split_at_breaks(token)
    scales += [(start, len(runs), ROUND_MULTIPLIER) for start in rounds]
    scales += [(start, len(runs), SQUARE_MULTIPLIER) for start in squares]
    return _merge(runs, _weights(runs, scales)) or [("", 1.0)]


def is_break(run: tuple[str, float]) -> bool:
    """True if this run starts a new chunk instead of being text."""
    return run == (BREAK, BREAK_WEIGHT)


def _number(weight: str, token: str) -> float:
    try:
        return float(weight)
    except ValueError:
        hint = r"Write one number, such as (word:1.2), or escape the bracket: \)."
        raise InvalidRequest(
            f"Attention weight {weight!r} in {token!r} is not a number.", hint, "prompt"
        ) from None


def _split_at_breaks(text: str) -> list[str]:
    """The text around BREAK words, with markers between; the white space around a BREAK goes with it."""
    if BREAK not in text:
        return [text]
    parts = _BREAK_WORD.split(text)
    runs: list[str] = []
    for index, part in enumerate(parts):
        if index > 0:
            runs.append(BREAK)
            part = part.lstrip()
        runs.append(part.rstrip() if index < len(parts) - 1 else part)
    return [_Marker(run) if index % 2 else run for index, run in enumerate(runs)]


class _Marker(str):
    """The word BREAK where it is a chunk break; plain text that happens to read so is a plain `str`."""

    __slots__ = ()


def _weights(runs: list[str], scales: list[tuple[int, int, float]]) -> list[float]:
    """One weight per run, multiplied in the order in which brackets close (floating point is not associative)."""
    weights = np.array([BREAK_WEIGHT if isinstance(run, _Marker) else 1.0 for run in runs], dtype=np.float64)
    with np.errstate(all="ignore"):
        for start, end, multiplier in scales:
            weights[start:end] *= multiplier
    return weights.tolist()


def _merge(runs: list[str], weights: list[float]) -> list[tuple[str, float]]:
    merged: list[tuple[list[str], float]] = []
    for run, weight in zip(runs, weights, strict=True):
        if merged and merged[-1][1] == weight:
            merged[-1][0].append(run)
        else:
            merged.append(([run], weight))
    return [("".join(parts), weight) for parts, weight in merged]
