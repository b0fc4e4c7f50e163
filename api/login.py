"""Who is asking: names and passwords, checked in constant time, with guessing slowed down."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from api.sessions import Sessions
from generation.errors import UserError

log = logging.getLogger(__name__)

FREE_FAILURES = 5
LONGEST_WAIT = 60.0  # seconds
REMEMBERED_CLIENTS = 10_000


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and a password, as sent."""

    name: str
    password: str


def basic_credentials(header: str) -> Credentials | None:
    """The credentials in an Authorization header, or None if it holds no readable Basic ones."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    name, colon, password = decoded.partition(":")
    return Credentials(name, password) if colon else None


class TooManyFailures(UserError):
    """The client guessed too often; `wait` is in seconds."""

    status = 429

    def __init__(self, wait: float) -> None:
        self.wait = math.ceil(wait)
        super().__init__("Too many wrong passwords.", f"Try again in {self.wait} s.")


class WrongPassword(UserError):
    """Unknown name or wrong password; which of both is not said."""

    status = 401

    def __init__(self) -> None:
        super().__init__("Wrong name or password.")


def is_valid(credentials: Credentials, users: Mapping[str, str]) -> bool:
    """True if the password is the user's. Takes the same time for unknown users and for any wrong password."""
    known = users.get(credentials.name)
    expected = _digest(known if known is not None else "no such user")
    is_equal = hmac.compare_digest(_digest(credentials.password), expected)
    return is_equal and known is not None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


@dataclass
class FailureThrottle:
    """Makes password guessing slow: after five failures a client waits 1 s, then 2, 4 … up to a minute.

    Clients are told apart by their address. The table is bounded; the longest-idle client is forgotten first.
    """

    clock: Callable[[], float] = time.monotonic
    _failures: OrderedDict[str, tuple[int, float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, client: str) -> float:
        """Seconds until this client may try again; 0 = now."""
        with self._lock:
            count, last = self._failures.get(client, (0, 0.0))
        if count < FREE_FAILURES:
            return 0.0
        return max(0.0, last + min(2.0 ** (count - FREE_FAILURES), LONGEST_WAIT) - self.clock())

    def failed(self, client: str) -> None:
        """Count a wrong password."""
        with self._lock:
            count, _ = self._failures.pop(client, (0, 0.0))
            self._failures[client] = (min(count + 1, 64), self.clock())
            while len(self._failures) > REMEMBERED_CLIENTS:
                self._failures.popitem(last=False)

    def succeeded(self, client: str) -> None:
        """Forget the failures of a client that got in."""
        with self._lock:
            self._failures.pop(client, None)


@dataclass
class Doorkeeper:
    """Lets users in: by name and password, or by the session they began with these."""

    users: Mapping[str, str] = field(repr=False)
    sessions: Sessions
    throttle: FailureThrottle = field(default_factory=FailureThrottle)

    def check(self, credentials: Credentials, client: str) -> str:
        """The user's name. `client` is the caller's address. Raises TooManyFailures or WrongPassword."""
        if (wait := self.throttle.wait(client)) > 0:
            raise TooManyFailures(wait)
        if not is_valid(credentials, self.users):
            self.throttle.failed(client)
            log.warning("Wrong name or password from %s.", client)
            raise WrongPassword
        self.throttle.succeeded(client)
        return credentials.name
