"""How nodes are shown, by noded's own API and to the command line. Up and down are derived here, and never stored."""

from collections.abc import Collection, Iterable

from consensus.members.model import GoneNode, Node, NodeRole
from consensus.members.plan import voters_wanted
from noded.core.departure import Departure, Hold
from noded.core.ids import NodeId
from noded.core.times import zulu


def node_view(node: Node, *, up: Collection[str], voters: Collection[str], leader: NodeId | None) -> dict[str, object]:
    """One node's JSON. `up`: the nodes that the answering node hears from."""
    return {
        "id": node.id,
        "name": node.name,
        "addresses": list(node.addresses),
        "state": "up" if node.id in up else "down",
        "role": "voter" if node.id in voters else "learner",
        "leader": node.id == leader,
        "kind": node.role.value,
        "standing": _standing(node),
        "labels": node.labels,
        "release": node.release,
        "fingerprint": node.fingerprint,
        "admitted_at": zulu(node.admitted_at_ms),
    }


def gone_view(gone: GoneNode) -> dict[str, object]:
    """One former node's JSON."""
    return {
        "id": gone.id,
        "name": gone.name,
        "fingerprint": gone.fingerprint,
        "how": "left" if gone.left else "forgotten",
        "gone_at": zulu(gone.gone_at_ms),
    }


def hold_view(hold: Hold) -> dict[str, str]:
    """One thing that a node holds, and what becomes of it if the node goes."""
    return {"noun": hold.noun, "id": hold.id, "name": hold.name, "fate": hold.fate}


def hints(nodes: Collection[Node], voters: Collection[str]) -> list[str]:
    """What an operator should know of who votes, before it matters."""
    taking_part = [node for node in nodes if not node.leaving]
    found = []
    if len(taking_part) == 2 and voters_wanted(2) == 1:
        name = next((node.name for node in taking_part if node.id in voters), "one of them")
        found.append(
            f"Two nodes: {name} alone votes, and without it the cluster waits. A third node, or a small machine with"
            ' `role = "witness"`, lets any one of the three fail.'
        )
    draining = sorted(node.name for node in taking_part if node.draining)
    if draining:
        found.append(f"Draining, so they get nothing new: {', '.join(draining)}. `noded node undrain NAME` ends that.")
    leaving = sorted(node.name for node in nodes if node.leaving)
    if leaving:
        found.append(
            f"Leaving, so they neither vote nor get anything new: {', '.join(leaving)}. If nobody goes on with that,"
            " `noded node undrain NAME` takes it back."
        )
    if nodes and all(node.role is NodeRole.WITNESS for node in nodes):
        found.append("Every node is a witness: nothing here carries servers or data.")
    return found


def removal_view(
    node: Node, departure: Departure, *, verb: str, refused: Iterable[str], overcome: Iterable[str], votes: bool
) -> dict[str, object]:
    """What would happen if a node left or were forgotten. `refused` stands against it, `overcome` too unless forced."""
    steps = [f"{node.name} gives up its vote; the voters are chosen anew."] if votes else []
    steps += [f"{hold.noun} {hold.name or hold.id}: {hold.fate}" for hold in departure.holds]
    steps.append(f"The record of {node.name} goes, and every node refuses its key from then on.")
    if verb == "leave":
        steps.append(f"{node.name} sets its log and its identity aside and is unclaimed: it can join again.")
    return {
        "verb": verb,
        "node": {"id": node.id, "name": node.name},
        "steps": steps,
        "holds": [hold_view(hold) for hold in departure.holds],
        "losses": list(overcome),
        "refused": list(refused),
    }


def _standing(node: Node) -> str:
    if node.leaving:
        return "leaving"
    return "draining" if node.draining else "in_use"
