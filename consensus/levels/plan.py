"""Which level do all members understand, who holds it back, and may a command be proposed on it? Touches nothing."""

from collections.abc import Iterable

from consensus.levels.model import LOWEST, LevelReport, MemberLevel, cluster_level
from consensus.members.model import Node
from noded.core.command import Command
from noded.core.store import View


def report(view: View) -> LevelReport:
    """The levels of all members."""
    nodes = view.all(Node)
    told = {member.id: member.level for member in view.all(MemberLevel)}
    return LevelReport(
        cluster=cluster_level(view),
        members={node.id: told.get(node.id, LOWEST) for node in nodes},
        names={node.id: node.name for node in nodes},
    )


def level_of_all(view: View) -> int:
    """The level that every member understands now."""
    return min(report(view).members.values(), default=LOWEST)


def too_old_to_join(view: View, level: int) -> str | None:
    """Why a node of that level can't become a member; None if it can."""
    if level >= cluster_level(view):
        return None
    return (
        f"its release understands level {level}, and the cluster is at level {cluster_level(view)}; install a newer"
        " release on it"
    )


def why_not_yet(view: View, commands: Iterable[Command]) -> str:
    """Why these commands can't be proposed now, and what helps; empty if they can."""
    needed = max((command.SINCE_LEVEL for command in commands), default=LOWEST)
    if needed <= cluster_level(view):
        return ""
    found = report(view)
    behind = [node_id for node_id, level in found.members.items() if level < needed]
    if not behind:
        return "This change is new with this release. All nodes know it; the cluster takes note of that in a moment."
    named = ", ".join(sorted(f"{found.names[node_id]} (level {found.members[node_id]})" for node_id in behind))
    return (
        f"This change is new with level {needed}, and these nodes do not know it yet: {named}. Install the newer"
        " release on them, or remove them from the cluster."
    )
