"""What routes need from the request: the services, and on whose behalf they act."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from generation.errors import UserError
from service.services import Services


class NotAllowed(UserError):
    """The user is known, but may not do this."""

    status = 403


@dataclass(frozen=True, slots=True)
class User:
    """Who asks. `name` is "" when the server has no login; then everything is visible.

    A guest may make pictures, but not change the server: no settings, no models.
    """

    name: str = ""
    is_guest: bool = False

    @property
    def owner(self) -> str | None:
        """Whose jobs this user may see; None = all."""
        return self.name or None


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _user(request: Request) -> User:
    state = request.scope.get("state", {})
    return User(state.get("user", ""), state.get("is_guest", False))


async def only_owners(request: Request) -> None:
    """As a dependency of a route: guests get a 403."""
    user = await _user(request)
    if user.is_guest:
        raise NotAllowed(f"{user.name!r} is a guest here and may not change the server.", "Ask its owner.")


ServicesOf = Annotated[Services, Depends(_services)]
UserOf = Annotated[User, Depends(_user)]
