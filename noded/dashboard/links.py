"""What the dashboard asks of the daemon: to be a client of its own APIs, with the caller's token and nothing more."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an API answered. `body` is the decoded JSON, or None."""

    ok: bool
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body_or_none(self) -> Any:
        """What was asked for; None if it was refused."""
        return self.body if self.ok else None

    @property
    def fault(self) -> str:
        """The message of an error, whichever API's form it has; empty on success."""
        if self.ok:
            return ""
        return _message(self.body) or "The request failed without a reason."

    def all(self, name: str) -> list[dict[str, Any]]:
        """The list called `name`; empty when the API refused."""
        found = self.body.get(name) if self.ok and isinstance(self.body, dict) else None
        return list(found) if isinstance(found, list) else []


def _message(body: object) -> str:
    """The first text under `message`, or `what` as our own API calls it, anywhere in an error body."""
    if not isinstance(body, dict):
        return ""
    found = body.get("message", body.get("what"))
    if isinstance(found, str):
        return found
    return next((text for below in body.values() if (text := _message(below))), "")


class LocalApi(Protocol):
    """The gateway, called within the process: same routes, same policy, same faults, no socket."""

    async def call(
        self,
        verb: str,
        path: str,
        *,
        token: str | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        content: AsyncIterator[bytes] | None = None,
    ) -> Answer:
        """Send one request as the token's user: `body` as JSON, or `content` as it comes.

        Never raises for what the API refuses.
        """
