"""Sessions in signed cookies: nothing to store on the server, nothing to forge without its secret."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

COOKIE = "easel_session"
LIFETIME = 14 * 86400  # seconds
REMEMBERED_LOGOUTS = 10_000


@dataclass
class Sessions:
    """Makes and checks the tokens of logged-in users.

    A token names its user and its end, signed with the server's secret and the user's password: a changed password
    or secret ends all sessions. Logging out ends one at once, as long as the server runs.
    """

    users: Mapping[str, str] = field(repr=False)
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    clock: Callable[[], float] = time.time
    _ended: OrderedDict[str, None] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def begin(self, user: str) -> str:
        """A new token for this user."""
        claims = {"user": user, "until": int(self.clock()) + LIFETIME, "id": secrets.token_urlsafe(12)}
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return f"{body}.{self._signature(user, body)}"

    def user(self, token: str) -> str | None:
        """Whose token this is; None if it is forged, over, or its user is gone."""
        body, _, signature = token.partition(".")
        try:
            claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
            user, until = str(claims["user"]), float(claims["until"])
        except (binascii.Error, ValueError, KeyError, TypeError, RecursionError):
            return None
        is_signed = hmac.compare_digest(self._signature(user, body).encode(), signature.encode(errors="replace"))
        with self._lock:
            has_ended = token in self._ended
        return user if is_signed and user in self.users and until > self.clock() and not has_ended else None

    def end(self, token: str) -> None:
        """The token is no longer valid."""
        if self.user(token) is None:
            return
        with self._lock:
            self._ended[token] = None
            while len(self._ended) > REMEMBERED_LOGOUTS:
                self._ended.popitem(last=False)

    def _signature(self, user: str, body: str) -> str:
        password = hashlib.sha256(self.users.get(user, "").encode(errors="surrogatepass")).digest()
        return hmac.new(self.secret + password, body.encode(), hashlib.sha256).hexdigest()
