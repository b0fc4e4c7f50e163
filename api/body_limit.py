"""Counts the bytes of a request body while they arrive; what the client says about its length is not trusted."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from api.errors import answer


class BodyTooLarge(HTTPException):
    """Raised into whoever reads the body. An HTTPException, because FastAPI turns any other one into a 400."""

    def __init__(self) -> None:
        super().__init__(413)


@dataclass
class CountedBody:
    """`receive` and `send` of one request, wrapped: reading too much raises, and the answer becomes a 413."""

    limit: int  # bytes
    scope: Scope
    inner_receive: Receive
    inner_send: Send
    count: int = 0
    has_answered: bool = field(default=False, init=False)

    @property
    def is_too_large(self) -> bool:
        """True once more than the limit has arrived."""
        return self.count > self.limit

    async def receive(self) -> Message:
        """The next message. Raises BodyTooLarge when the limit is passed."""
        message = await self.inner_receive()
        if message["type"] == "http.request":
            self.count += len(message.get("body", b""))
            if self.is_too_large:
                raise BodyTooLarge
        return message

    async def send(self, message: Message) -> None:
        """Pass the answer on, or replace it by a 413 if the body was too large, whatever the route made of it."""
        if self.is_too_large and message["type"] == "http.response.start":
            self.has_answered = True
            await too_large(self.limit, self.scope, self.inner_receive, self.inner_send)
        elif not self.has_answered:
            await self.inner_send(message)


async def too_large(limit: int, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer that the body is over the limit."""
    sentence = f"The request is larger than this server takes ({limit / 2**20:.0f} MB). Send smaller pictures."
    await answer(413, sentence, "BodyTooLarge", headers={"Connection": "close"})(scope, receive, send)
