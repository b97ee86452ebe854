"""A request as handlers see it, without HTTP: what was asked is said when it is built."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import msgspec

from noded.core.cluster import Cluster
from noded.core.errors import Invalid
from noded.core.ids import RequestId
from noded.core.reconciler import Drivers
from noded.core.route import Caller, Response, Route

T = TypeVar("T")
D = TypeVar("D")


@dataclass(kw_only=True)
class Asked:
    """Implements `noded.core.route.Request`. `body` is what JSON would have said; `pieces` the raw body."""

    cluster: Cluster
    drivers: Drivers
    who: Caller | None = None
    verb: str = "GET"
    path: str = "/"
    params: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: object = None
    pieces: Iterable[bytes] | AsyncIterator[bytes] = ()
    base_url: str = "https://cloud"
    request_id: RequestId = field(default=RequestId("req-1"))
    microversion: tuple[int, int] = (0, 0)

    @property
    def caller(self) -> Caller:
        assert self.who is not None
        return self.who

    @property
    def query(self) -> Mapping[str, str]:
        return {name: values[-1] for name, values in self.fields.items()}

    def query_all(self, name: str) -> list[str]:
        return self.fields.get(name, [])

    def driver(self, protocol: type[D]) -> D:
        return self.drivers.get(protocol)

    async def json(self, form: type[T]) -> T:
        try:
            return msgspec.json.decode(msgspec.json.encode(self.body), type=form)
        except msgspec.ValidationError as wrong:
            raise Invalid(str(wrong)) from None

    async def form(self) -> Mapping[str, str]:
        return cast(Mapping[str, str], self.body)

    async def stream(self) -> AsyncIterator[bytes]:
        if isinstance(self.pieces, AsyncGenerator):
            async with aclosing(self.pieces) as pieces:
                async for piece in pieces:
                    yield piece
        else:
            assert isinstance(self.pieces, Iterable)
            for piece in self.pieces:
                yield piece


async def content_of(response: Response) -> bytes:
    """All of a response's content."""
    content = response.content
    if content is None or isinstance(content, bytes):
        return content or b""
    return b"".join([piece async for piece in content])


def route(routes: Iterable[Route], verb: str, path: str) -> Any:
    """The handler of one line of a route table."""
    return next(each.handler for each in routes if (each.verb, each.path) == (verb, path))
