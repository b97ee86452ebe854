"""How does the dashboard use the APIs? As a client within the process: the same application, no socket between."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import msgspec
import trio

from noded.dashboard.links import Answer
from noded.gateway.app import Gateway
from noded.gateway.client import answered_client

_SUCCESS: Final = range(200, 300)


class InProcessApi:
    """Implements `LocalApi` over the gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

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
        whole = b"" if body is None else msgspec.json.encode(body)
        sent = {"host": "localhost", **(headers or {})}
        if token is not None:
            sent["x-auth-token"] = token
        if content is None:
            sent["content-length"] = str(len(whole))
        if whole:
            sent.setdefault("content-type", "application/json")
        exchange = _Exchange(_once(whole) if content is None else content)
        path, _, query = path.partition("?")
        scope: dict[str, Any] = {
            "type": "http",
            "method": verb,
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
            "client": (answered_client(), 0),
            "server": ("localhost", 443),
        }
        await self._gateway(scope, exchange.receive, exchange.send)
        return exchange.answer()


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


class _Exchange:
    """Both ends of one request: what the application reads, and what it answers."""

    def __init__(self, content: AsyncIterator[bytes]) -> None:
        self._content: AsyncIterator[bytes] | None = content
        self._status = 0
        self._headers: dict[str, str] = {}
        self._received = bytearray()

    async def receive(self) -> dict[str, Any]:
        if self._content is None:
            await trio.sleep_forever()  # the client neither says more nor goes away
        piece = await anext(self._content, None)
        if piece is None:
            self._content = None
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = {name.decode().lower(): value.decode("latin-1") for name, value in message["headers"]}
        elif message["type"] == "http.response.body":
            self._received += message.get("body", b"")

    def answer(self) -> Answer:
        is_json = self._headers.get("content-type", "").startswith("application/json")
        body = msgspec.json.decode(bytes(self._received)) if is_json and self._received else None
        return Answer(ok=self._status in _SUCCESS, body=body, headers=self._headers)
