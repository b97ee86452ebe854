"""Which verdicts must be said to the whole cluster? Decides; touches nothing."""

from collections.abc import Collection, Mapping

from consensus.liveness.commands import DeclareDown, DeclareUp
from consensus.liveness.model import NodeVerdict, Sight, State
from noded.core.command import Command
from noded.core.departure import Departure, Leaver
from noded.core.ids import NodeId
from noded.core.store import View


def declarations(
    sights: Mapping[NodeId, Sight], verdicts: Collection[NodeVerdict], members: Collection[NodeId], now_ms: int
) -> list[Command]:
    """What the leader declares. A node of which it is not sure keeps the verdict that it has."""
    known = {verdict.id for verdict in verdicts}
    commands: list[Command] = []
    for node_id in sorted(members):
        sight = sights.get(node_id)
        if sight is None:
            continue
        if sight.state is State.DOWN and node_id not in known:
            commands.append(
                DeclareDown(node_id=node_id, down_since_ms=sight.since_ms, missed_by=sight.missed_by, now_ms=now_ms)
            )
        elif sight.state in (State.UP, State.PARTLY) and node_id in known:
            commands.append(DeclareUp(node_id=node_id))
    return commands + [DeclareUp(node_id=gone) for gone in sorted(known - set(members))]


def departure(view: View, leaver: Leaver) -> Departure:
    """The verdict goes with the node."""
    known = view.get(NodeVerdict, leaver.node_id) is not None
    return Departure(commands=(DeclareUp(node_id=leaver.node_id),) if known else ())
