"""Answers who may come in: makes and ends tokens, lists who waits, lets them in, and tells who was turned away."""

import ipaddress
import secrets
from collections.abc import Sequence

import msgspec
import trio

from consensus.authority import authority_hash
from consensus.certificates.model import ROTATION, Rotation, Stage
from consensus.doors.commands import CreateToken, RevokeToken
from consensus.doors.links import Porch, Refusals
from consensus.doors.model import JoinRequest, JoinToken, LetIn, RefusalsAt, TokenWanted, Unclaimed, Waiting
from consensus.doors.token import SECRET_BYTES, Token, secret_hash, token_text
from consensus.doors.ttl import ttl_ms
from consensus.doors.views import refusal_views, request_view, token_view, unclaimed_view
from consensus.members.links import authority_in
from consensus.members.model import CLUSTER, ClusterFacts, Node
from consensus.ports import DOOR_PORT
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Conflict, Invalid, NotFound, Unavailable
from noded.core.ids import NodeId
from noded.core.route import Allow, Done, Request, Response, Route
from noded.core.service import PeerContext, PeerHandler

ASK_S_MAX = 3.0  # a member that has not answered by then is left out
ADDRESSES_IN_TOKEN_MAX = 12
TOKEN_ID_BYTES = 6
WORDS_CHARS_MAX = 40


class Approval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of an approval: the words that the node shows, or its claim code."""

    words: str = ""
    claim_code: str = ""
    addresses: tuple[str, ...] = ()


# -- tokens


async def list_tokens(request: Request) -> Response:
    """GET /noded/v1/tokens."""
    return Response(body={"tokens": _token_views(request.cluster)})


async def create_token(request: Request) -> Response:
    """POST /noded/v1/tokens: the only answer in which the token itself is ever shown."""
    wanted = await request.json(TokenWanted)
    return Response(body=await _create(request.cluster, wanted, request.caller.user_name))


async def revoke_token(request: Request) -> Response:
    """DELETE /noded/v1/tokens/{token_id}."""
    await request.cluster.propose(RevokeToken(token_id=request.params["token_id"], now_ms=now_ms()))
    return Response()


def _token_views(cluster: Cluster) -> list[dict[str, object]]:
    view = cluster.view()
    return [token_view(token, view, now_ms()) for token in sorted(view.all(JoinToken), key=lambda t: t.created_at_ms)]


async def _create(cluster: Cluster, wanted: TokenWanted, by: str) -> dict[str, object]:
    view = cluster.view()
    facts, authority = view.get(ClusterFacts, CLUSTER), authority_in(view)
    if facts is None or authority is None:
        raise Unavailable("This member is still learning the cluster's state; ask again in a moment.")
    rotation = view.get(Rotation, ROTATION)
    # While a new authority waits to sign, it is the one that is trusted for longer.
    trusted = rotation.other_pem.encode() if rotation and rotation.stage is Stage.TRUST else authority.certificate_pem
    made_ms, token_id, secret = now_ms(), secrets.token_hex(TOKEN_ID_BYTES), secrets.token_bytes(SECRET_BYTES)
    addresses = _checked(wanted.addresses) or _members_addresses(cluster)
    expires_at_ms = made_ms + ttl_ms(wanted.ttl)
    await cluster.propose(
        CreateToken(
            token_id=token_id,
            secret_hash=secret_hash(secret),
            uses=wanted.uses,
            expires_at_ms=expires_at_ms,
            addresses=addresses,
            created_by=by,
            now_ms=made_ms,
        )
    )
    text = token_text(
        Token(
            cluster_id=facts.cluster_id,
            cluster_name=facts.name,
            authority_hash=authority_hash(trusted),
            addresses=addresses,
            port=DOOR_PORT,
            token_id=token_id,
            secret=secret,
            expires_at_ms=expires_at_ms,
        )
    )
    return {"token": {**token_view(cluster.view().need(JoinToken, token_id), cluster.view(), made_ms), "text": text}}


def _checked(addresses: Sequence[str]) -> tuple[str, ...]:
    if len(addresses) > ADDRESSES_IN_TOKEN_MAX:
        raise Invalid(f"A token holds at most {ADDRESSES_IN_TOKEN_MAX} addresses.")
    for address in addresses:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise Invalid(f"{address[:60]!r} is no IP address; a token holds addresses of members.") from None
    return tuple(addresses)


def _members_addresses(cluster: Cluster) -> tuple[str, ...]:
    """Those of the members that can be reached now, first the best of each."""
    up = cluster.reachable()
    nodes = sorted(cluster.view().all(Node), key=lambda node: (node.id not in up, node.id != cluster.node_id))
    best = [node.addresses[0] for node in nodes if node.addresses]
    others = [address for node in nodes for address in node.addresses[1:]]
    return tuple(dict.fromkeys((*best, *others)))[:ADDRESSES_IN_TOKEN_MAX]


# -- nodes that wait


async def list_requests(request: Request) -> Response:
    """GET /noded/v1/join-requests: who waits for a yes at any member, and who announces itself as unclaimed."""
    return Response(body=_waiting_view(await _everyone_waiting(request.cluster)))


async def approve_request(request: Request) -> Response:
    """POST /noded/v1/join-requests/{node}/approve: with the words that it shows, or with its claim code."""
    body = await request.json(Approval)
    order = LetIn(
        node=request.params["node"], words=body.words, claim_code=body.claim_code, addresses=_checked(body.addresses)
    )
    return Response(body=await _approve(request.cluster, request.driver(Porch), order))


async def turn_request_away(request: Request) -> Response:
    """DELETE /noded/v1/join-requests/{node}."""
    found = _named(await _everyone_waiting(request.cluster), request.params["node"])
    await request.cluster.call(found.waits_at, "doors.turn_away", found.node_id.encode())
    return Response()


def _waiting_view(waiting: Waiting) -> dict[str, object]:
    return {
        "requests": [request_view(each) for each in waiting.requests],
        "unclaimed": [unclaimed_view(each) for each in waiting.unclaimed],
    }


async def _everyone_waiting(cluster: Cluster) -> Waiting:
    """Ask every reachable member who waits at its door, all at once."""
    requests: dict[NodeId, JoinRequest] = {}
    unclaimed: dict[NodeId, Unclaimed] = {}
    for answer in (await _ask_everyone(cluster, "doors.waiting")).values():
        found = msgspec.msgpack.decode(answer, type=Waiting)
        for request in found.requests:
            present = requests.get(request.node_id)
            if present is None or present.since_ms < request.since_ms:
                requests[request.node_id] = request
        unclaimed.update({node.node_id: node for node in found.unclaimed})
    members = {node.id for node in cluster.view().all(Node)}
    return Waiting(
        requests=tuple(requests[key] for key in sorted(requests) if key not in members),
        unclaimed=tuple(unclaimed[key] for key in sorted(unclaimed) if key not in members),
    )


async def _ask_everyone(cluster: Cluster, method: str) -> dict[NodeId, bytes]:
    answers: dict[NodeId, bytes] = {}

    async def ask(node_id: NodeId) -> None:
        with trio.move_on_after(ASK_S_MAX):
            try:
                answers[node_id] = await cluster.call(node_id, method, b"")
            except (Unavailable, NotFound):
                return  # it has just gone, or runs a release that does not know the question

    async with trio.open_nursery() as nursery:
        for node_id in cluster.reachable():
            nursery.start_soon(ask, node_id)
    return answers


def _named(waiting: Waiting, node: str, words: str = "") -> JoinRequest:
    """The one request that is meant, by id, name or words. Raises NotFound and Conflict."""
    if node:
        found = [each for each in waiting.requests if each.node_id == node] or [
            each for each in waiting.requests if each.name == node
        ]
    else:
        found = [each for each in waiting.requests if secrets.compare_digest(each.words.encode(), words.encode())]
    if not found:
        raise NotFound.of("waiting node", node or words)
    if len(found) > 1:
        ids = ", ".join(each.node_id for each in found)
        raise Conflict(f"Several waiting nodes are called {node[:60]}: {ids}. Name the one that you mean by its id.")
    return found[0]


async def _approve(cluster: Cluster, porch: Porch, order: LetIn) -> dict[str, object]:
    if bool(order.words) == bool(order.claim_code):
        raise Invalid("Give either the words that the node shows or its claim code.")
    order = msgspec.structs.replace(order, origin=cluster.origin)
    if order.claim_code:
        return {"admitted": await porch.claim(order), "request": None}
    words = plain_words(order.words)
    found = _named(await _everyone_waiting(cluster), order.node, words)
    payload = msgspec.msgpack.encode(LetIn(node=found.node_id, words=words, origin=order.origin))
    await cluster.call(found.waits_at, "doors.let_in", payload)
    return {"admitted": None, "request": {**request_view(found), "approved": True}}


def plain_words(words: str) -> str:
    """Words as they are compared, however they were typed."""
    return "-".join(words[:WORDS_CHARS_MAX].lower().replace("-", " ").split())


# -- refusals


async def list_refusals(request: Request) -> Response:
    """GET /noded/v1/refusals: who got nowhere, at which port of which node, and how often, since its daemon started."""
    return Response(body=await _refusals(request.cluster))


async def _refusals(cluster: Cluster) -> dict[str, object]:
    answers = (await _ask_everyone(cluster, "doors.refusals_here")).values()
    found = [msgspec.msgpack.decode(answer, type=RefusalsAt) for answer in answers]
    return {
        "refusals": refusal_views(found, cluster.view()),
        "total": sum(line.count for at in found for line in at.lines),
        "silent": sorted({node.id for node in cluster.view().all(Node)} - {at.node_id for at in found}),
    }


# -- calls between members


async def _waiting_here(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    return msgspec.msgpack.encode(context.drivers.get(Porch).waiting())


async def _let_in_here(context: PeerContext, payload: bytes) -> bytes:
    order = msgspec.msgpack.decode(payload, type=LetIn)
    context.drivers.get(Porch).approve(NodeId(order.node), order.words, order.origin)
    return b""


async def _turn_away_here(context: PeerContext, payload: bytes) -> bytes:
    context.drivers.get(Porch).turn_away(NodeId(payload.decode()))
    return b""


async def _refusals_here(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    lines = tuple(context.drivers.get(Refusals).lines())
    return msgspec.msgpack.encode(RefusalsAt(node_id=context.cluster.node_id, lines=lines))


# -- the console


async def _tokens_at_console(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    return msgspec.msgpack.encode({"tokens": _token_views(context.cluster)})


async def _create_at_console(context: PeerContext, payload: bytes) -> bytes:
    wanted = msgspec.msgpack.decode(payload, type=TokenWanted)
    wanted = msgspec.structs.replace(wanted, addresses=_checked(wanted.addresses))
    return msgspec.msgpack.encode(await _create(context.cluster, wanted, f"console of {context.cluster.node_id}"))


async def _revoke_at_console(context: PeerContext, payload: bytes) -> bytes:
    await context.cluster.propose(RevokeToken(token_id=payload.decode(), now_ms=now_ms()))
    return msgspec.msgpack.encode({"tokens": _token_views(context.cluster)})


async def _requests_at_console(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # takes nothing
    return msgspec.msgpack.encode(_waiting_view(await _everyone_waiting(context.cluster)))


async def _approve_at_console(context: PeerContext, payload: bytes) -> bytes:
    order = msgspec.msgpack.decode(payload, type=LetIn)
    return msgspec.msgpack.encode(await _approve(context.cluster, context.drivers.get(Porch), order))


async def _refusals_at_console(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # takes nothing
    return msgspec.msgpack.encode(await _refusals(context.cluster))


PEER_CALLS: dict[str, PeerHandler] = {
    "doors.waiting": _waiting_here,
    "doors.let_in": _let_in_here,
    "doors.turn_away": _turn_away_here,
    "doors.refusals_here": _refusals_here,
}


async def _no_entry(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # whatever was asked
    facts = context.cluster.view().get(ClusterFacts, CLUSTER)
    raise Conflict(f"This node is a member of cluster {facts.name if facts else '?'} already; `noded status` shows it.")


LOCAL_CALLS: dict[str, PeerHandler] = {
    "doors.tokens": _tokens_at_console,
    "doors.create_token": _create_at_console,
    "doors.revoke_token": _revoke_at_console,
    "doors.requests": _requests_at_console,
    "doors.approve": _approve_at_console,
    "doors.refusals": _refusals_at_console,
    "entry.status": _no_entry,
    "entry.create": _no_entry,
    "entry.join": _no_entry,
}

ROUTES = (
    Route(verb="GET", path="/tokens", handler=list_tokens, allow=Allow.ADMIN),
    Route(verb="POST", path="/tokens", handler=create_token, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="DELETE", path="/tokens/{token_id}", handler=revoke_token, allow=Allow.ADMIN, done=Done.EMPTY),
    Route(verb="GET", path="/join-requests", handler=list_requests, allow=Allow.ADMIN),
    Route(verb="POST", path="/join-requests/{node}/approve", handler=approve_request, allow=Allow.ADMIN),
    Route(verb="DELETE", path="/join-requests/{node}", handler=turn_request_away, allow=Allow.ADMIN, done=Done.EMPTY),
    Route(verb="GET", path="/refusals", handler=list_refusals, allow=Allow.ADMIN),
)
