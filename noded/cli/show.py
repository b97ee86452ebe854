"""How answers look in a terminal. Pure: values in, rich tables out."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from consensus.liveness.model import State
from noded.core.times import zulu
from noded.core.units import GIB
from noded.inspection.model import ClusterStatus, NodeStatus, Space

_STATE_STYLES = {State.UP: "green", State.SUSPECT: "yellow", State.PARTLY: "yellow", State.DOWN: "bold red"}


def status(found: ClusterStatus) -> RenderableType:
    """The cluster in one screen."""
    up = sum(node.up for node in found.nodes)
    head = Text(f"cluster {found.cluster}: {up} of {len(found.nodes)} nodes up")
    if found.outlook.has_majority and found.leader is None:
        head.append("  no leader: changes wait until one is elected", style="bold red")
    trouble = [Text(minority(found), style="bold red")] if not found.outlook.has_majority else []
    hints = [Text(f"! {hint}", style="yellow") for hint in found.hints]
    counts = " · ".join(f"{noun} {count}" for noun, count in sorted(found.counts.items()) if count)
    return Group(head, *trouble, nodes(found.nodes), *hints, Text(counts, style="dim"))


def minority(found: ClusterStatus) -> str:
    """What an operator of a node must know that is cut off from the majority."""
    outlook = found.outlook
    since = "" if outlook.minority_since_ms is None else f" since {zulu(outlook.minority_since_ms)}"
    lost = ", ".join(f"{lost.name} since {zulu(lost.since_ms)}" for lost in outlook.lost)
    return (
        f"This node sees only {len(outlook.voters_seen)} of {len(outlook.voters)} voting nodes{since}: nothing can be"
        f" changed from here, and what is shown is as of revision {found.revision}. Not reached: {lost or 'nobody'}."
    )


def nodes(found: Iterable[NodeStatus]) -> RenderableType:
    """A line a node."""
    table = Table(box=None, pad_edge=False)
    for column in ("node", "address", "state", "since", "cpu", "memory", "disks", "replicas", "release"):
        table.add_column(column, no_wrap=column in {"state", "since", "cpu"}, overflow="fold")
    for node in found:
        state = Text(node.state, style=_STATE_STYLES[node.state])
        if node.leader:
            state.append(" leader", style="cyan")
        elif node.voter:
            state.append(" voter", style="dim")
        if node.state is State.PARTLY:
            state.append(f"\nnot heard by {', '.join(node.missed_by)}")
        vitals = node.vitals
        table.add_row(
            Text(node.name),  # not markup: names are of users' making
            Text(", ".join(node.addresses)),
            state,
            node.since,
            f"{vitals.cpu_percent:.0f} % of {vitals.cpus}" if vitals else "-",
            _space(vitals.memory) if vitals else "-",
            ", ".join(_space(disk) for disk in vitals.disks.values()) if vitals else "-",
            f"{node.replicas}" + (f", {node.replicas_behind} behind" if node.replicas_behind else ""),
            Text(node.release),
        )
    return table


def routes(lines: Iterable[dict[str, str]]) -> RenderableType:
    """A line a route."""
    table = Table(box=None, pad_edge=False)
    for column in ("verb", "path", "handler", "allow"):
        table.add_column(column, overflow="fold")
    for line in lines:
        table.add_row(line["verb"], line["path"], line["handler"], line["allow"])
    return table


def explanation(sections: dict[str, object]) -> RenderableType:
    """Sections as trees, in their order."""
    return Group(*(_branch(name, section) for name, section in sections.items()))


def _branch(name: str, value: object) -> Tree:
    # Texts, not markup: what users and kernels write may have brackets in it.
    if isinstance(value, dict):
        tree = Tree(Text(name, style="bold"))
        for key, below in value.items():
            tree.add(_branch(str(key), below))
    elif isinstance(value, list):
        tree = Tree(Text.assemble((name, "bold"), "" if value else " -"))
        for below in value:
            tree.add(_branch("•", below) if isinstance(below, dict | list) else Text(str(below)))
    else:
        tree = Tree(Text.assemble(name, " ", (str(value), "cyan")))
    return tree


def _space(space: Space) -> str:
    return f"{space.used_bytes / GIB:.1f} of {space.total_bytes / GIB:.1f} GiB"
