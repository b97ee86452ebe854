"""What does a handler see of a request? The one implementation of `noded.core.route.Request`."""

import functools
import re
from collections.abc import AsyncIterator, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast
from urllib.parse import parse_qs

import msgspec

from noded.core.cluster import Cluster
from noded.core.errors import Invalid
from noded.core.ids import RequestId
from noded.core.reconciler import Drivers
from noded.core.route import Caller
from noded.core.unreadable import UNREADABLE
from noded.gateway.body import Body
from noded.gateway.limits import FORM_FIELDS_MAX, HOST_CHARS_MAX, QUERY_FIELDS_MAX

T = TypeVar("T")
D = TypeVar("D")

# What may stand in a Host header: a name, an IPv4 address or a bracketed IPv6 address, and a port.
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(:[0-9]{1,5})?", re.ASCII)


@dataclass(slots=True, kw_only=True)
class HttpRequest:
    """One request: its head, its body when asked for, and the handles of this node."""

    verb: str
    path: str
    params: Mapping[str, str]
    query_string: bytes
    headers: Mapping[str, str]
    base_url: str
    request_id: RequestId
    microversion: tuple[int, int]
    cluster: Cluster
    drivers: Drivers
    body: Body
    maybe_caller: Caller | None
    _query: dict[str, list[str]] | None = field(default=None, init=False)

    @property
    def caller(self) -> Caller:
        """Who asks."""
        assert self.maybe_caller is not None, "the route allows anyone, so nobody was asked for a token"
        return self.maybe_caller

    @property
    def query(self) -> Mapping[str, str]:
        """The query's last value by name. Raises `Invalid` if it can't be read."""
        return {name: values[-1] for name, values in self._fields().items()}

    def query_all(self, name: str) -> list[str]:
        """Every value that the query gives `name`."""
        return self._fields().get(name, [])

    def driver(self, protocol: type[D]) -> D:
        """This machine's driver for `protocol`."""
        return self.drivers.get(protocol)

    async def json(self, form: type[T]) -> T:
        """The body decoded as `form`."""
        content = await self.body.whole()
        if not content:
            raise Invalid("The request has no body; a JSON object is expected.")
        try:
            return cast(T, _decoder(cast(Hashable, form)).decode(content))
        except msgspec.ValidationError as wrong:
            raise Invalid(f"Invalid input: {wrong}.") from None
        except UNREADABLE as wrong:
            raise Invalid(f"The body is not valid JSON: {wrong}.") from None

    async def form(self) -> Mapping[str, str]:
        """The body of an HTML form."""
        fields = _parsed(await self.body.whole(), FORM_FIELDS_MAX, "form")
        return {name: values[-1] for name, values in fields.items()}

    def stream(self) -> AsyncIterator[bytes]:
        """The raw body, piece by piece."""
        return self.body.pieces()

    def _fields(self) -> dict[str, list[str]]:
        if self._query is None:
            self._query = _parsed(self.query_string, QUERY_FIELDS_MAX, "query")
        return self._query


def headers_of(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Header values by lower-case name; a name that comes twice has its values joined (RFC 9110, 5.3)."""
    headers: dict[str, str] = {}
    for name_bytes, value_bytes in raw:
        name, value = name_bytes.decode("latin-1").lower(), value_bytes.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def base_url_of(scope: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """`https://host[:port]` as the client wrote it; this node's own address if it wrote none that can be used."""
    host = headers.get("host", "")
    if len(host) > HOST_CHARS_MAX or _HOST.fullmatch(host) is None:
        address, port = scope.get("server") or ("localhost", None)
        host = f"[{address}]" if ":" in address else address
        host += f":{port}" if port not in (None, 80, 443) else ""
    return f"{scope.get('scheme', 'https')}://{host}"


@functools.lru_cache(maxsize=1024)
def _decoder(form: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(form)


def _parsed(text: bytes, fields_max: int, where: str) -> dict[str, list[str]]:
    try:
        return parse_qs(text.decode(), keep_blank_values=True, max_num_fields=fields_max, errors="strict")
    except UnicodeDecodeError:
        raise Invalid(f"The {where} is not UTF-8.") from None
    except ValueError:
        raise Invalid(f"The {where} has more than {fields_max} fields.") from None
