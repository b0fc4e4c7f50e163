"""The user's defaults, kept in one JSON file. Read only when a request is being built."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from annotated_types import Ge, Le, MultipleOf
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from generation import sampler_info
from generation.errors import InvalidRequest, StorageError, unknown_name
from service.files import replace_file
from service.preference_fields import InterruptedJobs, Preferences, Theme, usable

__all__ = ["InterruptedJobs", "Lookup", "PreferenceStore", "Preferences", "Setting", "Theme"]

_TYPES: dict[object, type] = {bool: bool, int: int, float: float}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Setting:
    """One preference as the Settings tab and `/sdapi/v1/options` show it.

    `type` is bool, int, float or str. `choices` is None unless the value is one of a list; `minimum`, `maximum`
    and `step` are None where the number has none.
    """

    name: str
    group: str
    label: str
    help: str
    type: type
    default: Any
    value: Any
    choices: tuple[str, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """How a setting that names something in a catalogue is listed and checked.

    `resolve` turns what was given (name, title, hash) into what is stored, or raises UnknownName.
    """

    choices: Callable[[], list[str]]
    resolve: Callable[[str], str]


@dataclass
class PreferenceStore:
    """The preferences and their file. All methods may be called from any thread."""

    path: Path
    lookups: Mapping[str, Lookup] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._current = _read(self.path)

    def get(self) -> Preferences:
        """The current preferences."""
        return self._current

    def update(self, **changes: Any) -> Preferences:
        """The preferences after `changes` were checked and written, all or none.

        Raises UnknownName for a setting or name that does not exist, InvalidRequest for a bad value and
        StorageError if the file cannot be written.
        """
        for name in changes:
            if name not in Preferences.model_fields:
                raise unknown_name("setting", name, Preferences.model_fields, name)
        for name in changes.keys() & self.lookups.keys():
            changes[name] = self.lookups[name].resolve(str(changes[name]))
        with self._lock:
            changed = _validated({**dict(self._current), **changes})
            text = changed.model_dump_json(indent=2, exclude_defaults=True)
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                replace_file(self.path, text.encode())
            except OSError as error:
                raise StorageError(
                    f"The settings could not be written to {self.path}: {error.strerror or error}.",
                    "Free some space or make the folder writable.",
                ) from error
            self._current = changed
        return changed

    def describe(self) -> list[Setting]:
        """All settings in the order in which they are shown, with their current values."""
        current = self._current
        return [self._describe(name, info, current) for name, info in Preferences.model_fields.items()]

    def _describe(self, name: str, info: FieldInfo, current: Preferences) -> Setting:
        extra = info.json_schema_extra
        group = str(extra["group"]) if isinstance(extra, dict) else ""
        value = getattr(current, name)
        minimum, maximum, step = _range(info)
        return Setting(
            name=name,
            group=group,
            label=info.title or name,
            help=info.description or "",
            type=_TYPES.get(info.annotation, str),
            default=_plain(info.default),
            value=_plain(value),
            choices=self._choices(name, info, str(value)),
            minimum=minimum,
            maximum=maximum,
            step=step,
        )

    def _choices(self, name: str, info: FieldInfo, value: str) -> tuple[str, ...] | None:
        if name in self.lookups:
            known = self.lookups[name].choices()
            # What is stored may be gone for now (an unplugged disk): it stays visible.
            return tuple(known if value in known else [value, *known])
        if name == "default_sampler":
            return tuple(sampler.name for sampler in sampler_info.SAMPLERS)
        if name == "default_schedule":
            return tuple(schedule.label for schedule in sampler_info.SCHEDULES)
        if isinstance(info.annotation, type) and issubclass(info.annotation, StrEnum):
            return tuple(info.annotation)
        return None


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, StrEnum) else value


def _range(info: FieldInfo) -> tuple[float | None, float | None, float | None]:
    """Minimum, maximum and step of a number field."""
    if info.annotation not in (int, float):
        return None, None, None
    minimum = maximum = None
    step: float = 1 if info.annotation is int else 0.05
    for constraint in info.metadata:
        if isinstance(constraint, Ge):
            minimum = float(constraint.ge)  # type: ignore[arg-type]
        elif isinstance(constraint, Le):
            maximum = float(constraint.le)  # type: ignore[arg-type]
        elif isinstance(constraint, MultipleOf):
            step = float(constraint.multiple_of)  # type: ignore[arg-type]
    return minimum, maximum, step


def _validated(values: Mapping[str, Any]) -> Preferences:
    try:
        return Preferences(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        message = f"{name}: {first['msg']}, got {first.get('input')!r}."
        raise InvalidRequest(message, "Change this value.", name) from None


def _read(path: Path) -> Preferences:
    """The preferences in the file. What cannot be used is set aside in a copy, never silently lost."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return Preferences()
    except OSError as error:
        log.warning("The settings in %s cannot be read (%s); using the defaults.", path, error)
        return Preferences()
    try:
        values = json.loads(raw)
        if not isinstance(values, dict):
            raise ValueError("not a JSON object")
    except ValueError as error:
        log.warning(
            "The settings in %s are damaged (%s); using the defaults. %s", path, error, _set_aside(path, raw)
        )
        return Preferences()
    kept = usable(values)
    if dropped := [name for name in values if name not in kept]:
        log.warning("Settings in %s that cannot be used: %s. %s", path, ", ".join(dropped), _set_aside(path, raw))
    return Preferences(**kept)


def _set_aside(path: Path, raw: bytes) -> str:
    """Keeps a copy of the damaged file; returns the sentence that tells so."""
    copy = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        replace_file(copy, raw)
    except OSError as error:
        return f"A copy could not be kept: {error}."
    return f"The old file is kept as {copy.name}."
