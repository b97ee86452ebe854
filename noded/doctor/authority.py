"""Examines the cloud: every node looks at its own machine, one at the records, and again where anything was found."""

from dataclasses import dataclass, field

import msgspec
import trio

from consensus.members.model import Node, NodeRole
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Refused
from noded.core.finding import Finding
from noded.core.ids import NodeId
from noded.core.service import PeerContext, PeerHandler
from noded.doctor.model import Examination, FirstSeen, Look, clocks_apart, lasting
from noded.doctor.views import of_clock, of_digests, of_records, of_silence
from noded.inspection.links import Registry
from noded.inspection.model import StoreDigest

AGAIN_S = 3.0  # between two looks: what is on its way has arrived by then, as a rule
ANSWER_S_MAX = 20.0  # a node that has not looked at its machine by then is told of as silent
CLOCK_MS_MAX = 2_000


@dataclass
class _Round:
    """One look at everything."""

    findings: list[Finding] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    digests: dict[str, StoreDigest] = field(default_factory=dict)


async def examine(cluster: Cluster, registry: Registry, first_seen: FirstSeen) -> Examination:
    """Look once; where something is found, look again, and tell what is found both times."""
    first = await _look_around(cluster, registry, first_seen)
    findings, newest = tuple(first.findings), first
    if findings:
        await trio.sleep(AGAIN_S)
        newest = await _look_around(cluster, registry, first_seen)
        findings = lasting(findings, newest.findings)
    return Examination(
        answered_by=cluster.node_id,
        revision=cluster.view().revision,
        nodes=tuple(sorted(newest.names)),
        looks=1 if newest is first else 2,
        findings=tuple(sorted(findings, key=lambda finding: finding.key)),
    )


async def _look_around(cluster: Cluster, registry: Registry, first_seen: FirstSeen) -> _Round:
    around = _Round()
    view = await cluster.fresh_view()
    async with trio.open_nursery() as nursery:
        for node in view.all(Node):
            nursery.start_soon(_ask, cluster, node, around)
    now_s = trio.current_time()
    of_all = of_records(registry.services, await cluster.fresh_view())
    first_seen.note(of_all, now_s)
    around.findings += [finding for finding in of_all if first_seen.counts(finding, now_s)]
    around.findings += of_digests(around.digests)
    return around


async def _ask(cluster: Cluster, node: Node, around: _Round) -> None:
    """What one node says; a silent one is a finding of its own."""
    node_id, asked_ms = NodeId(node.id), now_ms()
    silence = f"it did not answer within {ANSWER_S_MAX:.0f} s"
    with trio.move_on_after(ANSWER_S_MAX):
        try:
            look = msgspec.msgpack.decode(await cluster.call(node_id, "doctor.look", b""), type=Look)
            digest = await cluster.call(node_id, "inspection.digest", b"")
        except Refused as refused:
            silence = refused.message
        else:
            around.digests[node.name] = msgspec.msgpack.decode(digest, type=StoreDigest)
            around.names.append(node.name)
            around.findings += look.findings
            # The answer takes a while: our own clock before and after bounds what the other one may say.
            apart = clocks_apart(asked_ms, now_ms(), {node.name: look.now_ms}, CLOCK_MS_MAX)
            around.findings += [of_clock(node_id, node.name, off_ms) for off_ms in apart.values()]
            return
    around.findings.append(of_silence(node_id, node.name, silence))


async def _look(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    """Look at this node's own machine. A witness has none to look at."""
    findings: list[Finding] = []
    node = (await context.cluster.fresh_view()).get(Node, context.cluster.node_id)
    if node is not None and node.role is NodeRole.MEMBER:
        for service in context.drivers.get(Registry).services:
            for look in service.examines_machine:
                findings += await look(context)
    return msgspec.msgpack.encode(Look(now_ms=now_ms(), findings=tuple(findings)))


async def _examine(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    return msgspec.msgpack.encode(
        await examine(context.cluster, context.drivers.get(Registry), context.drivers.get(FirstSeen))
    )


PEER_CALLS: dict[str, PeerHandler] = {"doctor.look": _look, "doctor.examine": _examine}
