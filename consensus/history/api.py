"""Answers who changed what, what differs, and whether history is whole. Any node answers from its own files."""

from functools import partial
from typing import Final

import msgspec
import trio

from consensus.chain import HEAD_BYTES
from consensus.history.difference import difference
from consensus.history.integrity import head_at, heads_at, last_lines, verify
from consensus.history.links import Book, ChainState, Span, Vocabulary
from consensus.history.model import (
    HEADS_MAX,
    LINES_DEFAULT,
    LINES_MAX,
    Comparison,
    DiffQuestion,
    Question,
    Verdict,
    VerifyCall,
)
from consensus.history.moments import moment_ms
from consensus.history.paging import page_before
from consensus.history.reading import Reader
from consensus.members.model import Node
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Invalid, Unavailable
from noded.core.ids import NodeId
from noded.core.reconciler import Drivers
from noded.core.route import Allow, Request, Response, Route
from noded.core.service import PeerContext, PeerHandler

COMPARE_S_MAX: Final = 10.0

_encode = msgspec.msgpack.encode
_heads = msgspec.msgpack.Decoder(dict[int, bytes])


async def list_history(request: Request) -> Response:
    """GET /noded/v1/history: the newest lines that fit. Who is no administrator sees what surely is their project's."""
    query, caller = request.query, request.caller
    question = Question(
        object=query.get("object", ""),
        user=query.get("user", ""),
        since_ms=_moment(query.get("since")),
        until_ms=_moment(query.get("until")),
        before=_number(query.get("before"), "before"),
        limit=_limit(query.get("limit")),
        project_id=None if caller.is_admin else caller.project,
    )
    reader = _reader(request.cluster, request.driver(Book), request.driver(ChainState), request.driver(Vocabulary))
    return Response(body=await trio.to_thread.run_sync(reader.page, question))


async def show_difference(request: Request) -> Response:
    """GET /noded/v1/diff?from=REV&to=REV: what changed in the store between two revisions; `to` may be left out."""
    reader = _reader(request.cluster, request.driver(Book), request.driver(ChainState), request.driver(Vocabulary))
    older = _number(request.query.get("from"), "from")
    if older is None:
        raise Invalid("Say from which revision: ?from=REVISION. `noded history` shows revisions.")
    newer = _number(request.query.get("to"), "to")
    question = DiffQuestion(
        from_revision=older,
        to_revision=int(reader.view.revision) if newer is None else newer,
        object=request.query.get("object", ""),
    )
    return Response(body=await trio.to_thread.run_sync(difference, reader, question))


async def verify_history(request: Request) -> Response:
    """GET /noded/v1/history/verify: whether all is as it was written, here and compared with the other nodes."""
    book, state = request.driver(Book), request.driver(ChainState)
    verdict = await _verdict(request.cluster, book, state, request.query.get("expect", ""))
    return Response(body={**msgspec.to_builtins(verdict), "whole": verdict.is_whole})


def _reader(cluster: Cluster, book: Book, state: ChainState, words: Vocabulary) -> Reader:
    return Reader(book, words, cluster.view(), state.link)


def _reader_in(context: PeerContext) -> Reader:
    drivers: Drivers = context.drivers
    return _reader(context.cluster, drivers.get(Book), drivers.get(ChainState), drivers.get(Vocabulary))


def _moment(text: str | None) -> int | None:
    return None if not text else moment_ms(text, now_ms())


def _number(text: str | None, name: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise Invalid(f"{name} is no revision: {text[:50]!r}. `noded history` shows revisions.")
    return int(text)


def _limit(text: str | None) -> int:
    if not text:
        return LINES_DEFAULT
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text)):
        raise Invalid(f"limit is no number of lines: {text[:50]!r}. It goes from 1 to {LINES_MAX}.")
    return min(int(text), LINES_MAX)


# -- is it whole?


async def _verdict(cluster: Cluster, book: Book, state: ChainState, expect: str) -> Verdict:
    """What this node finds, and what the others say to it."""
    noted = _noted(expect)
    link = state.link
    verdict = await trio.to_thread.run_sync(verify, book, link, cluster.node_id)
    spans = await trio.to_thread.run_sync(book.spans)
    ends = await trio.to_thread.run_sync(last_lines, book)
    nodes: list[Comparison] = []

    async def compare(node: Node) -> None:
        nodes.append(await _compared(cluster, node, book, spans, ends | {link.revision: link.head}))

    async with trio.open_nursery() as nursery:
        for node in cluster.view().all(Node):
            if node.id != cluster.node_id:
                nursery.start_soon(compare, node)
    expected = ""
    if noted is not None:
        revision, head = noted
        found = await trio.to_thread.run_sync(head_at, book, revision, link)
        expected = "unknown" if found is None else "equal" if found == head else "altered"
    nodes.sort(key=lambda each: each.name)
    return msgspec.structs.replace(verdict, nodes=tuple(nodes), expected=expected)


def _noted(expect: str) -> tuple[int, bytes] | None:
    """A noted head."""
    if not expect:
        return None
    revision, _, head = expect.partition(":")
    try:
        found = (int(revision), bytes.fromhex(head))
    except ValueError:
        found = (0, b"")
    if len(found[1]) != HEAD_BYTES or found[0] < 0:
        raise Invalid(f"{expect[:100]!r} is no REVISION:HASH as `noded history verify` prints it.")
    return found


async def _compared(cluster: Cluster, node: Node, book: Book, spans: list[Span], ends: dict[int, bytes]) -> Comparison:
    """Compare the ends of spans with another node; where they differ, the lines of the first that does."""
    compared, differs = 0, None
    with trio.move_on_after(COMPARE_S_MAX):
        try:
            theirs = await _ask_heads(cluster, node, list(ends))
            compared = len(theirs)
            differs = _first_difference(ends, theirs)
            if differs is not None:
                ours = await trio.to_thread.run_sync(_heads_up_to, book, spans, differs)
                closer = _first_difference(ours, await _ask_heads(cluster, node, list(ours)))
                differs = differs if closer is None else closer
        except Unavailable:
            return Comparison(node_id=node.id, name=node.name, answered=False)
        return Comparison(node_id=node.id, name=node.name, answered=True, compared=compared, differs_from=differs)
    return Comparison(node_id=node.id, name=node.name, answered=False)


async def _ask_heads(cluster: Cluster, node: Node, revisions: list[int]) -> dict[int, bytes]:
    return _heads.decode(await cluster.call(NodeId(node.id), "history.heads", _encode(revisions[:HEADS_MAX])))


def _heads_up_to(book: Book, spans: list[Span], revision: int) -> dict[int, bytes]:
    """The heads of the lines of the span that ends there."""
    span = next((span for span in spans if span.base.revision < revision <= span.end), None)
    stretch = None if span is None else book.stretch(span.base.revision)
    return {} if stretch is None else {line.revision: line.head for line in stretch.lines if line.revision <= revision}


def _first_difference(ours: dict[int, bytes], theirs: dict[int, bytes]) -> int | None:
    return min((revision for revision, head in theirs.items() if ours.get(revision, head) != head), default=None)


# -- peer calls


async def _list(context: PeerContext, payload: bytes) -> bytes:
    question = msgspec.msgpack.decode(payload, type=Question)
    return _encode(await trio.to_thread.run_sync(_reader_in(context).page, question))


async def _diff(context: PeerContext, payload: bytes) -> bytes:
    question = msgspec.msgpack.decode(payload, type=DiffQuestion)
    reader = _reader_in(context)
    if question.to_revision < 0:
        question = msgspec.structs.replace(question, to_revision=int(reader.view.revision))
    return _encode(await trio.to_thread.run_sync(difference, reader, question))


async def _verify(context: PeerContext, payload: bytes) -> bytes:
    call = msgspec.msgpack.decode(payload, type=VerifyCall)
    drivers = context.drivers
    return _encode(await _verdict(context.cluster, drivers.get(Book), drivers.get(ChainState), call.expect))


async def _heads_here(context: PeerContext, payload: bytes) -> bytes:
    revisions = msgspec.msgpack.decode(payload, type=list[int])[:HEADS_MAX]
    return _encode(await trio.to_thread.run_sync(heads_at, context.drivers.get(Book), revisions))


async def _page(context: PeerContext, payload: bytes) -> bytes:
    until = msgspec.msgpack.decode(payload, type=int)
    return await trio.to_thread.run_sync(partial(page_before, context.drivers.get(Book), until))


PEER_CALLS: dict[str, PeerHandler] = {
    "history.list": _list,
    "history.diff": _diff,
    "history.verify": _verify,
    "history.heads": _heads_here,
    "history.page": _page,
}

ROUTES = (
    Route(verb="GET", path="/history", handler=list_history, allow=Allow.READER),
    Route(verb="GET", path="/history/verify", handler=verify_history, allow=Allow.ADMIN),
    Route(verb="GET", path="/diff", handler=show_difference, allow=Allow.ADMIN),
)
