"""Comparing version numbers in infotext, as PEP 440 orders them."""

from __future__ import annotations

import math
import re

_WITH_COMMITS = re.compile(r"([^-]+-[^-]+)-.*")  # "v1.7.0-225-gabcdef": a number of commits, then the commit
_PEP_440 = re.compile(
    r"""
    \s* v? (?:(?P<epoch>[0-9]+)!)? (?P<release>[0-9]+(?:\.[0-9]+)*)
    (?P<pre> [-_.]? (?P<pre_kind>alpha|a|beta|b|preview|pre|c|rc) [-_.]? (?P<pre_number>[0-9]+)? )?
    (?P<post> -(?P<implicit_post>[0-9]+) | [-_.]? (?:post|rev|r) [-_.]? (?P<post_number>[0-9]+)? )?
    (?P<dev> [-_.]? dev [-_.]? (?P<dev_number>[0-9]+)? )?
    (?: \+ (?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*) )? \s*
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PRE_KINDS = {"alpha": "a", "beta": "b", "preview": "rc", "pre": "rc", "c": "rc"}
_LONGEST = 100  # characters; nothing longer is a version

_Key = tuple[int, tuple[int, ...], tuple[str, int], float, float, int]


def is_before(version: object, other: object, *, unknown: bool = False) -> bool:
    """True if `version` is older than `other`; `unknown` if either is not a version number (Forge's are not)."""
    one, two = _key(version), _key(other)
    return unknown if one is None or two is None else one < two


def _key(text: object) -> _Key | None:
    if not isinstance(text, str) or len(text) > _LONGEST:
        return None
    if commits := _WITH_COMMITS.match(text):
        text = commits[1]
    match = _PEP_440.fullmatch(text)
    if match is None:
        return None
    release = tuple(int(number) for number in match["release"].split("."))
    while release and release[-1] == 0:
        release = release[:-1]
    post = float(match["implicit_post"] or match["post_number"] or 0) if match["post"] else -1.0
    dev = float(match["dev_number"] or 0) if match["dev"] else math.inf
    return int(match["epoch"] or 0), release, _pre(match), post, dev, int(match["local"] is not None)


def _pre(match: re.Match[str]) -> tuple[str, int]:
    """Sorts a, b, rc, then the release itself; a mere dev release comes before all of them."""
    if match["pre"]:
        kind = match["pre_kind"].lower()
        return _PRE_KINDS.get(kind, kind), int(match["pre_number"] or 0)
    is_only_dev = match["dev"] and not match["post"]
    return ("", 0) if is_only_dev else ("~", 0)
