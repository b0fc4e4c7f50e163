"""Errors that are meant for people: a sentence with the offending value, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something the user can mend. `message` names the offending value, `hint` says what to do.

    `field` is the name of the request field at fault, if one is. `status` is the HTTP status of the API.
    """

    status = 422

    def __init__(self, message: str, hint: str = "", field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.field = field

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str, str | None]]:
        return type(self), (self.message, self.hint, self.field)


class InvalidRequest(UserError):
    """A value out of range, or values that do not go together."""


class UnknownName(UserError):
    """No such sampler, schedule, model, job … The hint lists the nearest names."""

    status = 404


class UnknownJob(UserError):
    """The job id is not (or no longer) known, or belongs to somebody else."""

    status = 404


class ModelFileError(UserError):
    """A model file that cannot be used: missing, truncated, corrupt, malicious or of an unsupported kind."""


class QueueFull(UserError):
    """The queue takes no more jobs for now."""

    status = 503


class OutOfMemory(UserError):
    """The device ran out of memory; the worker lives on."""

    status = 507


class StorageError(UserError):
    """A picture, the history or a setting could not be written."""

    status = 507


def unknown_name(what: str, name: str, known: Iterable[str], field: str | None = None) -> UnknownName:
    """The error for a name that is not in a catalogue, with up to three nearest known names as the hint."""
    names = list(known)
    folded = {candidate.casefold(): candidate for candidate in names}
    nearest = [folded[match] for match in get_close_matches(name.casefold(), folded, n=3, cutoff=0.4)]
    nearest = nearest or names[:3]
    hint = f"Did you mean {' or '.join(repr(candidate) for candidate in nearest)}?" if nearest else ""
    return UnknownName(f"Unknown {what} {name!r}.", hint, field)
