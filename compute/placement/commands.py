"""How capacity is reported, chosen, claimed and freed. A choice is a guess; a claim, made in the log, is certain."""

from collections.abc import Collection, Mapping
from typing import ClassVar

import msgspec

from compute.placement.model import Allocation, ComputeNode, Demand, Use, misfit, use_of
from consensus.members.commands import refuse_gone, takes_work
from noded.core.command import Command
from noded.core.errors import Conflict, NoRoom
from noded.core.ids import NodeId
from noded.core.store import Transaction, View

NODE_FULL = "NodeFull"  # the code of a claim that was refused: choose again

DRAINED = "it is being drained"

MEMORY_WEIGHT = 1.0
CPU_WEIGHT = 0.5
IMAGE_WEIGHT = 0.5
LUCK_WEIGHT = 0.1  # nodes that are nearly as good share what comes at once, from handlers that can't see one another


class ReportComputeNode(Command, frozen=True, kw_only=True, tag="compute_node.report.1"):
    """What a node measured of itself; proposed only when it differs from what is known."""

    TOLD: ClassVar[str] = "reported what node {node[name]} offers to servers"

    node: ComputeNode

    def apply(self, tx: Transaction) -> None:
        refuse_gone(tx, self.node.id)
        tx.put(self.node)


class RemoveComputeNode(Command, frozen=True, kw_only=True, tag="compute_node.remove.1"):
    """A node goes, and its capacity with it. Whatever held a share of it has been moved before, in the same entry."""

    TOLD: ClassVar[str] = "stopped counting on node {node_id} for servers"

    node_id: NodeId

    def apply(self, tx: Transaction) -> None:
        held = tx.find(Allocation, "node_id", self.node_id)
        if held:
            raise Conflict(f"Node {self.node_id} still carries {held[0].id}. Try again.")
        if tx.get(ComputeNode, self.node_id) is not None:
            tx.delete(ComputeNode, self.node_id)


# --- what other services call inside their `apply` --------------------------------------------------------------------


def claim(tx: Transaction, consumer_id: str, node_id: NodeId, demand: Demand) -> None:
    """Take the consumer's share of the node; raises `Conflict` with `NODE_FULL` if it does not fit any more."""
    node = tx.get(ComputeNode, node_id)
    if node is None:
        raise Conflict(f"Node {node_id} carries no guests.", code=NODE_FULL)
    if not takes_work(tx, node_id):
        raise Conflict(f"{node.name}: {DRAINED}", code=NODE_FULL)
    why = misfit(node, use_of(tx, node_id), demand)
    if why is not None:
        raise Conflict(f"{node.name}: {why}", code=NODE_FULL)
    tx.put(Allocation(id=consumer_id, node_id=node_id, vcpus=demand.vcpus, memory_mib=demand.memory_mib))


def free(tx: Transaction, consumer_id: str) -> None:
    """Give the share back; one that was given back stays so."""
    if tx.get(Allocation, consumer_id) is not None:
        tx.delete(Allocation, consumer_id)


# --- what their handlers call before the log --------------------------------------------------------------------------


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a choice depends on beside the store."""

    reachable: Collection[NodeId]  # nodes that were heard from
    wanted: NodeId | None = None  # an administrator named it
    image_near: Mapping[NodeId, float] = {}  # share of the image's extents that each node holds
    luck: Mapping[NodeId, float] = {}  # drawn for each node, from 0 to 1
    closed: Collection[NodeId] = ()  # nodes that take no work; found by `choose`


def choose(view: View, demand: Demand, count: int, terms: Terms) -> list[NodeId]:
    """A node for each of `count` consumers of that demand, best first; raises `NoRoom` with the reason a node."""
    nodes = view.all(ComputeNode)
    terms = _with_closed(view, nodes, terms)
    uses = {node.id: use_of(view, node.id) for node in nodes}
    chosen: list[NodeId] = []
    for _ in range(count):
        fitting = [node for node in nodes if _reason(node, uses[node.id], demand, terms) is None]
        if not fitting:
            raise NoRoom(_no_room(nodes, uses, demand, terms, len(chosen), count))
        best = max(fitting, key=lambda node: (_weight(node, uses[node.id], demand, terms), node.id))
        uses[best.id] = uses[best.id].plus(demand)
        chosen.append(best.id)
    return chosen


def resettle(view: View, demands: Mapping[str, Demand], terms: Terms) -> dict[str, NodeId | None]:
    """A node for each of several consumers that must go elsewhere, the largest first; None where none fits."""
    nodes = view.all(ComputeNode)
    terms = _with_closed(view, nodes, terms)
    uses = {node.id: use_of(view, node.id) for node in nodes}
    chosen: dict[str, NodeId | None] = {}
    for consumer, demand in sorted(demands.items(), key=lambda item: (-item[1].memory_mib, item[0])):
        fitting = [node for node in nodes if _reason(node, uses[node.id], demand, terms) is None]
        best = max(fitting, key=lambda node: (_weight(node, uses[node.id], demand, terms), node.id), default=None)
        if best is not None:
            uses[best.id] = uses[best.id].plus(demand)
        chosen[consumer] = None if best is None else best.id
    return chosen


def _with_closed(view: View, nodes: Collection[ComputeNode], terms: Terms) -> Terms:
    closed = frozenset(node.id for node in nodes if not takes_work(view, node.id))
    return msgspec.structs.replace(terms, closed=closed)


def _reason(node: ComputeNode, use: Use, demand: Demand, terms: Terms) -> str | None:
    if terms.wanted is not None and node.id != terms.wanted:
        return "another node was asked for"
    if node.id not in terms.reachable:
        return "not heard from within the last seconds"
    if node.id in terms.closed:
        return DRAINED
    return misfit(node, use, demand)


def _weight(node: ComputeNode, use: Use, demand: Demand, terms: Terms) -> float:
    memory_free = (node.memory_mib - use.memory_mib - demand.memory_mib) / node.memory_mib
    cpu_free = (node.vcpus_max - use.vcpus - demand.vcpus) / node.vcpus_max
    chance = LUCK_WEIGHT * terms.luck.get(node.id, 0.0)
    image = IMAGE_WEIGHT * terms.image_near.get(node.id, 0.0)
    return MEMORY_WEIGHT * memory_free + CPU_WEIGHT * cpu_free + image + chance


def _no_room(
    nodes: list[ComputeNode], uses: Mapping[NodeId, Use], demand: Demand, terms: Terms, placed: int, count: int
) -> str:
    what = f"Of {count} servers {placed} would fit" if count > 1 else "No valid host was found"
    if not nodes:
        return f"{what}: no node has reported that it can carry guests."
    reasons = "; ".join(f"{node.name}: {_reason(node, uses[node.id], demand, terms)}" for node in nodes)
    return f"{what}. {reasons}. Delete or resize servers, take a smaller flavor, or add a node."
