"""What does a node serve while it belongs to no cluster? A page to claim it, and its own console's questions.

https://<node>/        the page, and the same as JSON below /noded/v1/claim; every change needs the claim code
<run>/peers.sock       `noded claim`, `noded approve`, `noded join`: root on this host needs no code
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
import structlog
import trio

from consensus.doors.model import LetIn
from consensus.entering import EntryStatus
from consensus.host.entry import Entry
from consensus.host.membership import Membership
from consensus.host.peers import PeerServer
from consensus.host.refusals import Refused, ignored
from consensus.host.tls import door_server
from noded.claiming import claim_page, created_page
from noded.config import Config
from noded.core import errors
from noded.core.errors import Conflict, Invalid, NotFound, TooLarge
from noded.core.ids import NodeId
from noded.core.route import Done
from noded.gateway.faults import status_of_done, status_of_kind
from noded.gateway.server import serve
from noded.host.password import admin_password

BODY_BYTES_MAX: Final = 64 * 1024
# Read by the login prompt of the machine's console (agetty(8)); for root alone, since the code stands in it.
ISSUE_FILE: Final = Path("/run/issue.d/noded.issue")
API: Final = "/noded/v1/claim"

_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

log = structlog.get_logger(__name__)


class Unclaimed:
    """The two ways to talk to an unclaimed node."""

    def __init__(
        self,
        config: Config,
        entry: Entry,
        node_id: NodeId,
        address: str,
        socket: Path,
        issue: Path = ISSUE_FILE,
        refused: Refused = ignored,
    ) -> None:
        """`socket`: where the console asks; `issue`: where the login prompt reads; `refused` hears of connections to
        the page that came to nothing."""
        self._issue = issue
        self._refused = refused
        self._config = config
        self._entry = entry
        self._node_id = node_id
        self._socket = socket
        host = f"[{address}]" if ":" in address else address
        port = "" if config.https_port == 443 else f":{config.https_port}"
        self.url = f"https://{host}{port}/"

    async def enter(self) -> Membership:
        """Hold all doors, the page and the console until this node is a member."""
        async with trio.open_nursery() as nursery:
            handlers = _Console(self._entry, self.url).handlers()
            server = PeerServer(self._node_id, None, {}, handlers, unknown=_not_yet)
            await nursery.start(server.serve_local, self._socket)
            tls = door_server(self._config.state)
            port = self._config.https_port
            await nursery.start(partial(serve, self._page, tls, port=port, refused=self._refused))
            self._say()
            try:
                membership = await self._entry.run()
            finally:
                self._issue.unlink(missing_ok=True)
            nursery.cancel_scope.cancel()
        return membership

    def _say(self) -> None:
        code = self._entry.claim_code
        if not code:
            log.info("node unclaimed", url=self.url, waits="for the nodes that have the same seed; see noded claim")
            return
        log.info(
            "node unclaimed", url=self.url, claim_code=code, fix="open the URL and enter the code, or: noded claim"
        )
        try:
            self._issue.parent.mkdir(exist_ok=True)
            self._issue.touch(mode=0o600)
            self._issue.write_text(f"\nThis machine waits to be claimed: {self.url}  claim code {code}\n\n")
        except OSError as fault:
            log.info("claim code not shown at the login prompt", reason=str(fault))

    # The page.

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        html = not scope["path"].startswith(API)
        status = status_of_done(Done.OK)
        try:
            content = await self._answer(scope, receive)
        except errors.Refused as no:
            status, content = status_of_kind(no.kind, None), self._fault(no, html=html)
        await _send(send, content, html=html, status=status)

    def _fault(self, refused: errors.Refused, *, html: bool) -> bytes:
        if html:
            return claim_page(self._entry.status(self.url), refused.message).encode()
        return msgspec.json.encode({"error": {"what": refused.message}})

    async def _answer(self, scope: Scope, receive: Receive) -> bytes:
        verb, path = scope["method"], scope["path"]
        address = str((scope.get("client") or ("unknown",))[0]).removeprefix("::ffff:")
        if verb in {"GET", "HEAD"} and path == "/":
            return claim_page(self._entry.status(self.url)).encode()
        if verb in {"GET", "HEAD"} and path == API:
            return msgspec.json.encode(_for_anyone(self._entry.status(self.url)))
        action = {"/create": "create", "/agree": "agree", API: "create", f"{API}/agree": "agree", f"{API}/join": "join"}
        if verb != "POST" or path not in action:
            raise NotFound(f"Nothing is at {path[:100]}: this node belongs to no cluster yet. Its page is at /.")
        given = _fields(await _body(receive), is_json=path.startswith(API))
        self._entry.check_code(given.get("claim_code", ""), address, self._config.https_port)
        return await self._act(action[path], given, html=not path.startswith(API))

    async def _act(self, action: str, given: Mapping[str, str], *, html: bool) -> bytes:
        if action == "join":
            return msgspec.json.encode({"cluster": await self._entry.join(given.get("token", ""))})
        if action == "agree":
            offered = self._entry.agree(given.get("words", ""))
            status = self._entry.status(self.url)
            return claim_page(status, "Agreed.").encode() if html else msgspec.json.encode(offered)
        cluster = given.get("cluster", "").strip()
        self._entry.create(cluster)
        # Only who read the claim code gets here: the person to whom the new cluster belongs.
        password = admin_password(self._config.state)
        if html:
            return created_page(cluster, self.url, password).encode()
        return msgspec.json.encode({"cluster": cluster, "url": self.url, "user": "admin", "password": password})


class _Console:
    """What root on this host may ask."""

    def __init__(self, entry: Entry, url: str) -> None:
        self._entry = entry
        self._url = url

    def handlers(self) -> dict[str, Callable[[NodeId, bytes], Awaitable[bytes]]]:
        return {
            "entry.status": self._status,
            "entry.create": self._create,
            "entry.join": self._join,
            "doors.approve": self._agree,
        }

    async def _status(self, _caller: NodeId, _payload: bytes) -> bytes:
        return msgspec.msgpack.encode(self._entry.status(self._url))

    async def _create(self, _caller: NodeId, payload: bytes) -> bytes:
        self._entry.create(payload.decode())
        return msgspec.msgpack.encode({"cluster": payload.decode(), "url": self._url})

    async def _join(self, _caller: NodeId, payload: bytes) -> bytes:
        return msgspec.msgpack.encode({"cluster": await self._entry.join(payload.decode(errors="replace"))})

    async def _agree(self, _caller: NodeId, payload: bytes) -> bytes:
        order = msgspec.msgpack.decode(payload, type=LetIn)
        if order.claim_code:
            raise Conflict("A claim code is typed on a member, not on the node that shows it.")
        offered = self._entry.agree(order.words)
        return msgspec.msgpack.encode({"agreed": msgspec.to_builtins(offered)})


def _not_yet(method: str) -> Callable[[NodeId, bytes], Awaitable[bytes]]:
    async def refuse(_caller: NodeId, _payload: bytes) -> bytes:
        raise Conflict(
            f"This node belongs to no cluster yet, so it can't answer ({method}). `noded claim` shows how to let it in,"
            " and why it is not in yet."
        )

    return refuse


def _for_anyone(status: EntryStatus) -> dict[str, object]:
    """The status without the claim code: who asks over the network has to know it."""
    shown: dict[str, object] = msgspec.to_builtins(status)
    del shown["claim_code"]
    return shown


def _fields(body: bytes, *, is_json: bool) -> Mapping[str, str]:
    try:
        if is_json:
            return msgspec.json.decode(body, type=dict[str, str])
        return {name: values[-1] for name, values in parse_qs(body.decode(), max_num_fields=20).items()}
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        raise Invalid("The body can't be understood: it must be an object of texts.") from None


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Invalid("The request was not sent whole.")
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            raise TooLarge(f"A request has at most {BODY_BYTES_MAX} bytes here.")
        if not message.get("more_body", False):
            return bytes(body)


async def _send(send: Send, content: bytes, *, html: bool, status: int) -> None:
    kind = b"text/html; charset=utf-8" if html else b"application/json"
    headers = [(b"content-type", kind), (b"content-length", str(len(content)).encode()), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
