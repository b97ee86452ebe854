"""Answers `noded doctor` for networks: what of ours is on this machine and no record asks for, or is missing."""

from net.dataplane.model import RemoveSegment, RemoveTap
from net.links import DataplaneFault
from net.ports.model import Port
from net.wiring.reconcile import wiring_of
from noded.core.finding import Finding
from noded.core.service import PeerContext


async def examine_wiring(context: PeerContext) -> list[Finding]:
    """The steps that the node would take now, and taps of ports that are not bound to it."""
    node_id, wiring = context.cluster.node_id, wiring_of(context.drivers)
    try:
        wanted, observed, steps = await wiring.look()
    except DataplaneFault as fault:
        return [
            Finding(
                kind="networks unknown",
                subject=node_id,
                what="the machine's networks can't be looked at",
                why=str(fault),
                mend="`noded status` and the node's log say what its kernel lacks.",
                node_id=node_id,
            )
        ]
    view = await context.cluster.fresh_view()
    found = []
    for name, tap in sorted(observed.taps.items()):
        port = view.get(Port, tap.mark.record_id)
        if port is None or port.node_id != node_id:
            found.append(
                Finding(
                    kind="orphan tap",
                    subject=name,
                    what=f"the tap {name} is on this machine",
                    why=f"port {tap.mark.record_id} " + ("is gone" if port is None else "is not bound to this node"),
                    mend="It is taken away by itself once its guest is gone; else `ip link delete` it.",
                    node_id=node_id,
                )
            )
    left = [step for step in steps if not isinstance(step, RemoveTap)]
    if left and wanted.address:
        removals = sum(isinstance(step, RemoveSegment) for step in left)
        found.append(
            Finding(
                kind="unfinished networks",
                subject=node_id,
                what=f"{len(left)} steps are still to be taken on this machine's networks, {removals} of them removals",
                why=", ".join(sorted({type(step).__name__ for step in left})),
                mend="They are taken by themselves; `noded explain port ID` says what keeps a port from being carried.",
                node_id=node_id,
            )
        )
    return found
