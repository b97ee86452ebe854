"""What is done when an operator asks something of a node: one way for the HTTP API, the command line and the dashboard.

Going for good takes three steps, each of which may be the last if the node that takes them dies: the node is marked
(`leaving`), so that it gets nothing new and the leader takes its vote away; what hangs on it is settled and its record
removed, in one entry; and it is told, so that it sets its state aside.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog
import trio
from msgspec.structs import replace

from consensus.members.commands import DrainNode, LabelNode, RemoveNode, RenameNode
from consensus.members.links import Dependants, Electorate, Exit
from consensus.members.model import GoneNode, Node
from consensus.members.plan import Situation, can_give_up_vote
from consensus.members.views import gone_view, hints, hold_view, node_view, removal_view
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.departure import Departure, Leaver
from noded.core.errors import Conflict, Invalid, NotFound, Refused, Unavailable
from noded.core.ids import NodeId
from noded.core.origin import Origin
from noded.core.service import PeerContext, PeerHandler
from noded.core.store import View
from noded.core.unreadable import UNREADABLE

VOTE_S_MAX: Final = 20.0
LOOK_S: Final = 0.1
TELL_S_MAX: Final = 3.0
UNDO_S_MAX: Final = 3.0
ID_CHARS_MIN: Final = 8  # so much of an id names a node, if no other one's begins so: tables show as much
UNDRAIN: Final = "`noded node undrain` lets it take part again"

log = structlog.get_logger(__name__)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a call asks: `node` is an id or a name; None is the node that is asked."""

    node: str | None = None
    draining: bool = True
    name: str = ""
    labels: dict[str, str | None] = msgspec.field(default_factory=dict)
    forced: bool = False
    plan: bool = False
    origin: Origin | None = None  # on whose behalf another node asks


@dataclass(frozen=True)
class Desk:
    """What every verb needs of this node."""

    cluster: Cluster
    electorate: Electorate
    dependants: Dependants
    exit: Exit

    # -- looking

    async def listing(self) -> dict[str, object]:
        """Every node and every former one, and what an operator should know of them."""
        view = self.cluster.view()
        nodes, heard = view.all(Node), await self._heard()
        return {
            "nodes": [self._shown(node, heard) for node in nodes],
            "former": [gone_view(gone) for gone in view.all(GoneNode)],
            "hints": hints(nodes, self.electorate.voters),
        }

    async def show(self, which: str | None) -> dict[str, object]:
        """One node, and what it holds."""
        view = self.cluster.view()
        node, heard = self._find(view, which), await self._heard()
        departure = self.dependants.departure(
            view, Leaver(node_id=node.id, reachable=heard - {node.id}, answers=node.id in heard)
        )
        return {"node": self._shown(node, heard), "holds": [hold_view(hold) for hold in departure.holds]}

    # -- changing

    async def drain(self, which: str | None, *, draining: bool) -> dict[str, object]:
        """The node gets nothing new from now on, or takes part again."""
        node = self._find(await self.cluster.fresh_view(), which)
        await self.cluster.propose(DrainNode(node_id=node.id, draining=draining))
        return await self.show(node.id)

    async def rename(self, which: str | None, name: str) -> dict[str, object]:
        """The node is called otherwise from now on."""
        node = self._find(await self.cluster.fresh_view(), which)
        await self.cluster.propose(RenameNode(node_id=node.id, name=name))
        return await self.show(node.id)

    async def label(self, which: str | None, labels: dict[str, str | None]) -> dict[str, object]:
        """Labels are set, or taken away where None is given."""
        node = self._find(await self.cluster.fresh_view(), which)
        await self.cluster.propose(LabelNode(node_id=node.id, labels=labels))
        return await self.show(node.id)

    async def forget(self, which: str | None, *, forced: bool, plan: bool) -> dict[str, object]:
        """Remove a node that does not answer any more; with `plan`, only say what that would do."""
        view = await self.cluster.fresh_view()
        node, heard = self._find(view, which), await self._heard()
        refused = []
        if node.id == self.cluster.node_id:
            refused.append("a node can't forget itself: `noded node leave` is what you want")
        elif node.id in heard and not forced:
            refused.append(
                f"{node.name} answers: let it leave (`noded node leave {node.name}`), or cut its power first"
            )
        departure = self._departure(view, node, heard, forced=forced)
        shown = self._removal(node, departure, verb="forget", refused=refused, forced=forced)
        if not plan:
            await self._remove(node, departure, shown, left=False)
        return shown

    async def leave(self, which: str | None, *, forced: bool, plan: bool, tells: bool = True) -> dict[str, object]:
        """Let a node that answers go for good; with `plan`, only say what that would do.

        `tells`: the node did not ask itself, so it is told at the end.
        """
        view = await self.cluster.fresh_view()
        node, heard = self._find(view, which), await self._heard()
        refused = []
        if node.id not in heard:
            refused.append(f"{node.name} does not answer: `noded node forget {node.name}` removes it without its help")
        elif not self._can_give_up_vote(view, node, heard):
            refused.append(f"without the vote of {node.name} those that answer would be no majority of the voters")
        departure = self._departure(view, node, heard, forced=forced)
        shown = self._removal(node, departure, verb="leave", refused=refused, forced=forced)
        if plan:
            return shown
        _check(shown)
        if tells and node.id != self.cluster.node_id:
            # Once its record is gone nobody knows its address: the connection that is made now is kept for the end.
            await self.cluster.call(node.id, "members.heard", b"")
        try:
            await self.cluster.propose(DrainNode(node_id=node.id, draining=True, leaving=True))
            await self._until_without_vote(node)
            view, heard = await self.cluster.fresh_view(), await self._heard()
            departure = self._departure(view, node, heard, forced=forced)
            shown = self._removal(node, departure, verb="leave", refused=(), forced=forced)
            await self._remove(node, departure, shown, left=True)
        except (Refused, trio.Cancelled):  # who asked may be gone by now, or the call's time be over
            await self._take_back(node)
            raise
        if tells:
            await self._tell(node)
        return shown

    # -- the parts of it

    def is_itself(self, which: str | None) -> bool:
        """Whether this node is meant, as far as it knows."""
        if which in (None, self.cluster.node_id):
            return True
        with suppress(NotFound):
            return self._find(self.cluster.view(), which).id == self.cluster.node_id
        return False

    def own_name(self) -> str:
        """What this node is called, if its record is there."""
        node = self.cluster.view().get(Node, self.cluster.node_id)
        return "" if node is None else node.name

    def _shown(self, node: Node, heard: frozenset[NodeId]) -> dict[str, object]:
        return node_view(node, up=heard, voters=self.electorate.voters, leader=self.cluster.leader_id)

    def _find(self, view: View, which: str | None) -> Node:
        if which is None:
            which = self.cluster.node_id
        found = view.get(Node, which) or next(iter(view.find(Node, "name", which)), None)
        if found is None and len(which) >= ID_CHARS_MIN:
            begun = [node for node in view.all(Node) if node.id.startswith(which)]
            found = begun[0] if len(begun) == 1 else None
        if found is None:
            raise NotFound.of("node", which)
        return found

    async def _heard(self) -> frozenset[NodeId]:
        """Who answers: the leader knows, for it has a link to everyone; this node's own view where there is none."""
        own, leader = self.cluster.reachable(), self.cluster.leader_id
        if leader is None or leader == self.cluster.node_id:
            return own
        try:
            answer = await self.cluster.call(leader, "members.heard", b"")
        except Unavailable:
            return own
        return own | msgspec.msgpack.decode(answer, type=frozenset[NodeId])

    def _departure(self, view: View, node: Node, heard: frozenset[NodeId], *, forced: bool) -> Departure:
        leaver = Leaver(
            node_id=node.id, reachable=heard - {node.id}, answers=node.id in heard, forced=forced, now_ms=now_ms()
        )
        return self.dependants.departure(view, leaver)

    def _removal(
        self, node: Node, departure: Departure, *, verb: str, refused: list[str] | tuple[()], forced: bool
    ) -> dict[str, object]:
        against = [*refused, *departure.obstacles]
        if self.cluster.view().count(Node) == 1:
            against.append(f"{node.name} is the cluster's only node: nothing would be left of the cluster")
        if not forced:
            against += [f"{loss} (`--force` accepts that)" for loss in departure.losses]
        votes = node.id in self.electorate.voters
        return removal_view(node, departure, verb=verb, refused=against, overcome=departure.losses, votes=votes)

    def _can_give_up_vote(self, view: View, node: Node, heard: frozenset[NodeId]) -> bool:
        voters = self.electorate.voters
        situation = Situation(
            leader=self.cluster.leader_id or "",
            nodes=[replace(each, leaving=True) if each.id == node.id else each for each in view.all(Node)],
            voters=voters,
            ready=heard - voters,
            silent_s=dict.fromkeys(voters - heard, 0.0),
        )
        return can_give_up_vote(situation, node.id)

    async def _until_without_vote(self, node: Node) -> None:
        with trio.move_on_after(VOTE_S_MAX):
            while node.id in self.electorate.voters:  # noqa: ASYNC110  # the log tells nobody of its voters
                await trio.sleep(LOOK_S)
            return
        raise Unavailable(
            f"The vote of {node.name} could not be taken away within {VOTE_S_MAX:.0f} s; it stays. Look at"
            " `noded node list` for who votes and who answers, and try again."
        )

    async def _take_back(self, node: Node) -> None:
        """Nobody goes on with its leaving: it takes part again, also when this task is being cancelled."""
        with trio.move_on_after(UNDO_S_MAX, shield=True):
            try:
                await self.cluster.propose(DrainNode(node_id=node.id, draining=node.draining))
            except Refused as fault:
                log.warning("a node may stay marked as leaving", of=node.id, reason=fault.message, fix=UNDRAIN)
            return
        log.warning("a node may stay marked as leaving", of=node.id, reason="no majority", fix=UNDRAIN)

    async def _remove(self, node: Node, departure: Departure, shown: dict[str, object], *, left: bool) -> None:
        _check(shown)
        await self.cluster.propose(*departure.commands, RemoveNode(node_id=node.id, left=left, now_ms=now_ms()))
        log.info("node removed", removed=node.id, name=node.name, left=left)

    async def _tell(self, node: Node) -> None:
        """It would find out by itself, a little later."""
        try:
            with trio.fail_after(TELL_S_MAX):
                await self.cluster.call(node.id, "members.gone", b"")
        except (Refused, trio.TooSlowError) as fault:
            log.info("node that left was not told", gone=node.id, reason=str(fault))


def desk_of(context: PeerContext) -> Desk:
    """The desk for a call."""
    get = context.drivers.get
    return Desk(context.cluster, get(Electorate), get(Dependants), get(Exit))


def _check(shown: dict[str, object]) -> None:
    """Raise `Conflict` with all that stands against a removal."""
    reasons, node = shown["refused"], shown["node"]
    assert isinstance(reasons, list)
    assert isinstance(node, dict)
    if reasons:
        raise Conflict(f"Node {node['name']} stays: {'; '.join(reasons)}.")


# --- calls of other nodes ---------------------------------------------------------------------------------------------


async def _heard(context: PeerContext, _payload: bytes) -> bytes:
    return msgspec.msgpack.encode(sorted(context.cluster.reachable()))


async def _gone(context: PeerContext, _payload: bytes) -> bytes:
    """One that was asked to leave is told that it is done. Who only says so sends nobody away."""
    own = context.cluster.view().get(Node, context.cluster.node_id)
    if own is not None and not own.leaving:
        raise Conflict(f"Nobody asked {own.name} to leave, as far as it knows. If it is gone, it hears so from others.")
    context.drivers.get(Exit).leave("it left the cluster, as it was asked to")
    return b""


async def _leave_for(context: PeerContext, payload: bytes) -> bytes:
    """A node that leaves asks another to do it: it may not hear any more that its own removal was confirmed."""
    asked = _decode(payload)
    cluster = context.cluster.acting_for(asked.origin) if asked.origin else context.cluster
    desk = desk_of(PeerContext(cluster=cluster, drivers=context.drivers))
    return msgspec.msgpack.encode(await desk.leave(asked.node, forced=asked.forced, plan=asked.plan, tells=False))


PEER_CALLS: dict[str, PeerHandler] = {
    "members.heard": _heard,
    "members.gone": _gone,
    "members.leave_for": _leave_for,
}


# --- calls of this node's own command line ----------------------------------------------------------------------------


async def _list(context: PeerContext, _payload: bytes) -> bytes:
    return msgspec.msgpack.encode(await desk_of(context).listing())


async def _show(context: PeerContext, payload: bytes) -> bytes:
    return msgspec.msgpack.encode(await desk_of(context).show(_decode(payload).node))


async def _drain(context: PeerContext, payload: bytes) -> bytes:
    asked = _decode(payload)
    return msgspec.msgpack.encode(await desk_of(context).drain(asked.node, draining=asked.draining))


async def _rename(context: PeerContext, payload: bytes) -> bytes:
    asked = _decode(payload)
    return msgspec.msgpack.encode(await desk_of(context).rename(asked.node, asked.name))


async def _label(context: PeerContext, payload: bytes) -> bytes:
    asked = _decode(payload)
    return msgspec.msgpack.encode(await desk_of(context).label(asked.node, asked.labels))


async def _forget(context: PeerContext, payload: bytes) -> bytes:
    asked = _decode(payload)
    shown = await desk_of(context).forget(asked.node, forced=asked.forced, plan=asked.plan)
    return msgspec.msgpack.encode(shown)


async def _leave(context: PeerContext, payload: bytes) -> bytes:
    asked = replace(_decode(payload), origin=context.cluster.origin)  # who carries it out did not ask for it
    return msgspec.msgpack.encode(await leave_from(desk_of(context), asked))


LOCAL_CALLS: dict[str, PeerHandler] = {
    "members.list": _list,
    "members.show": _show,
    "members.drain": _drain,
    "members.rename": _rename,
    "members.label": _label,
    "members.forget": _forget,
    "members.leave": _leave,
}


async def leave_from(desk: Desk, asked: Asked) -> dict[str, object]:
    """Let a node leave: any node asks the cluster, but the one that leaves asks another to do it for it."""
    own, name = desk.cluster.node_id, desk.own_name()
    if asked.plan or not desk.is_itself(asked.node):
        return await desk.leave(asked.node, forced=asked.forced, plan=asked.plan)
    others = [each for each in (desk.cluster.leader_id, *sorted(desk.cluster.reachable())) if each not in (None, own)]
    try:
        if not others:
            return await desk.leave(own, forced=asked.forced, plan=False)
        shown = await _ask_to_leave(desk, others[0] or own, replace(asked, node=own))
    except Unavailable:
        if not asked.forced:
            raise
        # Nobody can confirm it, and it was told to go nevertheless: the others will have to forget it.
        steps = [f"{name} sets its state aside. The cluster could not be told: `noded node forget {name}` there."]
        node = {"id": own, "name": name}
        shown = {"verb": "leave", "node": node, "steps": steps, "holds": [], "losses": [], "refused": []}
    desk.exit.leave("it left the cluster, as it was asked to")
    return shown


async def _ask_to_leave(desk: Desk, helper: NodeId, asked: Asked) -> dict[str, object]:
    answer = await desk.cluster.call(helper, "members.leave_for", msgspec.msgpack.encode(asked))
    shown: dict[str, object] = msgspec.msgpack.decode(answer)
    return shown


def _decode(payload: bytes) -> Asked:
    try:
        return msgspec.msgpack.decode(payload, type=Asked)
    except UNREADABLE as error:
        raise Invalid(f"This asks nothing of a node: {error}") from error
