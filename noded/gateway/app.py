"""What happens between a request and its answer? The ASGI application: the whole way in ten lines.

    route → request id → limits → microversion → who asks and may they → handler → answer

Whatever goes wrong on it is answered in the form of the API that was asked, with the request id, and logged with it.
"""

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import structlog
from structlog.contextvars import bound_contextvars

from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.dice import new_request_id
from noded.core.errors import Forbidden, Invalid, Kind, NotFound, Refused, TooLarge
from noded.core.ids import RequestId
from noded.core.origin import Origin
from noded.core.reconciler import Drivers
from noded.core.route import Caller, Done
from noded.core.service import Endpoint, Service
from noded.core.store import View
from noded.gateway import cors, faults, versions
from noded.gateway.answer import Answer, Send, answer_of, send_answer
from noded.gateway.authenticate import Recognizer, WorthNothing, expect_permitted, recognize
from noded.gateway.body import Body, ClientGone, Receive
from noded.gateway.client import answering, client_of
from noded.gateway.freshness import freshest_view
from noded.gateway.limits import DRAIN_BYTES_MAX
from noded.gateway.packing import packed
from noded.gateway.rates import Rates
from noded.gateway.request import HttpRequest, base_url_of, headers_of
from noded.gateway.router import Match, NoSuchVerb, Router
from noded.gateway_rules.model import GatewayRules, gateway_rules
from noded.policy.model import Policies

Scope = Mapping[str, Any]

log = structlog.get_logger(__name__)

REQUEST_ID_HEADER: Final = b"x-openstack-request-id"
_REQUEST_ID: Final = re.compile(rb"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BUG: Final = Refused("An unexpected error prevented the server from fulfilling your request.", kind=Kind.BUG)


@contextmanager
def _unwrapped() -> Iterator[None]:
    """A handler that works in a nursery raises its refusal inside a group; here it is out again."""
    try:
        yield
    except ExceptionGroup as group:
        expected, bugs = group.split((Refused, ClientGone))
        if bugs is not None or expected is None:
            raise
        first: BaseException = expected
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None


def _told_by_caller(scope: Scope) -> dict[str, str]:
    """The id of the request that this one is a part of, where another service says so; the log has both."""
    for name, value in scope["headers"]:
        if name.lower() == REQUEST_ID_HEADER and _REQUEST_ID.fullmatch(value):
            return {"part_of": value.decode("ascii")}
    return {}


def _check_project(named: str, caller: Caller) -> None:
    """The project in a path is that of the token, or the address is wrong."""
    if named.replace("-", "") != (caller.project_id or "").replace("-", ""):
        raise Invalid(f"Malformed request url: the path names project {named}, the token is for another one.")


class Gateway:
    """Every API of the registered services on this node."""

    def __init__(
        self,
        services: Iterable[Service],
        cluster: Cluster,
        drivers: Drivers,
        *,
        drain_bytes_max: int = DRAIN_BYTES_MAX,
    ) -> None:
        self.router = Router(services)
        self.rates = Rates()
        self.drain_bytes_max = drain_bytes_max
        self._cluster = cluster
        self._drivers = drivers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            with (
                bound_contextvars(request=(request_id := RequestId(new_request_id())), **_told_by_caller(scope)),
                answering(client_of(scope)),
            ):
                await _Exchange(self, scope, receive, request_id).run(send)
        elif scope["type"] == "websocket":
            # No API here speaks WebSocket: closing before accepting is a plain refusal of the upgrade.
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            raise NotImplementedError(scope["type"])  # ASGI's way to say that it is not supported

    @property
    def cluster(self) -> Cluster:
        """This node's handle of the cluster."""
        return self._cluster

    @property
    def drivers(self) -> Drivers:
        """This node's drivers."""
        return self._drivers


class _Exchange:
    """One request and its answer."""

    def __init__(self, gateway: Gateway, scope: Scope, receive: Receive, request_id: RequestId) -> None:
        self._gateway = gateway
        self._scope = scope
        self._request_id = request_id
        self._started_s = time.perf_counter()
        self._verb: str = scope["method"]
        self._path = scope["raw_path"].decode("latin-1")
        self._headers = headers_of(scope["headers"])
        self._base_url = base_url_of(scope, self._headers)
        self._body = Body(receive, 0, gateway.drain_bytes_max)
        self._receive = receive
        self._endpoint: Endpoint | None = None
        self._handler: str | None = None
        self._caller: Caller | None = None
        self._back: dict[str, str] = {"x-openstack-request-id": request_id}

    async def run(self, send: Send) -> None:
        """Answer, and say in the log how it went."""
        status = None
        try:
            answer = await packed(await self._decide(), self._headers.get("accept-encoding", ""))
            status = answer.status
            await send_answer(answer, self._verb, self._body, send)
        except ClientGone:
            log.info("client left before its request was whole", verb=self._verb, path=self._path)
        except Exception:  # the head has gone out: all that can still be said to the client is to end the connection
            log.exception("answer failed", verb=self._verb, path=self._path)
        finally:
            self._log_access(status)

    async def _decide(self) -> Answer:
        try:
            with _unwrapped():
                return await self._handle()
        except ClientGone:
            raise
        except Refused as refused:
            return self._refuse(refused)
        except Exception:  # a bug must not tell the client about our insides, nor end the connection
            log.exception("handler failed", verb=self._verb, path=self._path, handler=self._handler)
            return self._refuse(_BUG)

    async def _handle(self) -> Answer:
        gateway = self._gateway
        rules = gateway_rules(gateway.cluster.view())
        match = self._find(rules)
        if match is None:
            return Answer(faults.status_of_done(Done.EMPTY), self._back, b"")
        route = match.target.route
        self._body = Body(self._receive, route.body_max, gateway.drain_bytes_max)
        version = self._negotiate(match.target.endpoint)
        self._caller = await self._authenticate(match)
        if self._caller is not None:
            gateway.rates.take(rules, self._caller.user_id, time.monotonic())
            expect_permitted(self._caller, match.target, self._verb, self._path)
        if match.project_id is not None and self._caller is not None:
            _check_project(match.project_id, self._caller)
        if version < route.since:
            raise NotFound(f"This is there from microversion {versions.text(route.since)} on; ask for it.")
        self._check_length(route.body_max)
        request = HttpRequest(
            verb=self._verb,
            path=self._path,
            params=match.params,
            query_string=self._scope["query_string"],
            headers=self._headers,
            base_url=self._base_url,
            request_id=self._request_id,
            microversion=version,
            cluster=gateway.cluster.acting_for(self._origin()),
            drivers=gateway.drivers,
            body=self._body,
            maybe_caller=self._caller,
        )
        response = await route.handler(request)
        return answer_of(response, faults.status_of_done(response.done or route.done), self._back)

    def _origin(self) -> Origin:
        caller = self._caller
        return Origin(
            who="anyone" if caller is None else f"user:{caller.user_id}",
            name="" if caller is None else caller.user_name,
            project_id="" if caller is None else caller.project_id or "",
            request_id=self._request_id,
            address=client_of(self._scope),
            at_ms=now_ms(),
        )

    def _find(self, rules: GatewayRules | None) -> Match | None:
        """The route; None where a browser only asked whether a page of another site may ask, and it may."""
        router = self._gateway.router
        self._endpoint = router.endpoint_at(self._path)
        allowed = cors.headers_for(rules, self._endpoint, self._headers)
        self._back |= allowed
        if self._endpoint is not None and self._endpoint.name == "nova":
            self._back["x-compute-request-id"] = self._request_id
        if self._verb == "OPTIONS" and "access-control-allow-methods" in allowed:
            return None
        match = router.find(self._verb, self._path)
        self._endpoint = match.target.endpoint
        self._handler = match.target.route.name
        return match

    async def _authenticate(self, match: Match) -> Caller | None:
        cluster, drivers = self._gateway.cluster, self._gateway.drivers

        def recognized(view: View) -> Caller | None:
            known, policies = drivers.get(Recognizer), drivers.get(Policies)
            head = (match, self._verb, self._headers, self._base_url)
            return recognize(*head, view, known=known, policies=policies, now_ms=now_ms())

        try:
            return recognized(cluster.view())
        except WorthNothing:  # what makes it good may have been acknowledged by another node just now
            return recognized(await freshest_view(cluster))
        except Forbidden:
            sought = match.target.route.sought
            if sought is not None:
                cluster.view().need(sought[0], match.params[sought[1]])
            raise

    def _negotiate(self, endpoint: Endpoint) -> tuple[int, int]:
        if endpoint.microversions is None:
            return (0, 0)
        version = versions.negotiate(endpoint.microversions, self._headers)
        told = versions.headers_back(endpoint.microversions, version)
        if "vary" in self._back:
            told["vary"] = f"{self._back['vary']}, {told['vary']}"
        self._back |= told
        return version

    def _check_length(self, bytes_max: int) -> None:
        declared = self._headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > bytes_max:
            raise TooLarge(f"The body is {declared} bytes long; at most {bytes_max} are read here.")

    def _refuse(self, refused: Refused) -> Answer:
        fault = faults.fault(refused, self._endpoint, self._request_id, self._base_url, self._path)
        headers = {**self._back, "content-type": fault.content_type, **dict(fault.headers)}
        if isinstance(refused, NoSuchVerb):
            headers["allow"] = ", ".join(refused.verbs)
        if faults.is_fault(fault.status) and refused is not _BUG:
            log.warning("request can't be served", reason=refused.message, handler=self._handler)
        return Answer(fault.status, headers, fault.body)

    def _log_access(self, status: int | None) -> None:
        # Neither the query nor any header: tokens, passwords and temporary signatures may be in them.
        log.info(
            "request",
            verb=self._verb,
            path=self._path,
            status=status,
            ms=round((time.perf_counter() - self._started_s) * 1000, 2),
            user=self._caller.user_id if self._caller else None,
            project=self._caller.project_id if self._caller else None,
            client=client_of(self._scope),
        )
