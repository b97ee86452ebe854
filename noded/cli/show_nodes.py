"""How nodes look in a terminal. Pure: values in, rich tables out."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

# Texts, not markup: names and labels are of users' making.


def listing(found: dict[str, Any]) -> RenderableType:
    """A line a node, then who was one, then what is worth knowing."""
    table = Table(box=None, pad_edge=False)
    for column in ("node", "address", "state", "vote", "standing", "labels", "release", "id"):
        table.add_column(column, no_wrap=column in {"state", "vote"}, overflow="fold")
    for node in sorted(found["nodes"], key=lambda node: str(node["name"])):
        table.add_row(
            Text(node["name"]),
            Text(", ".join(node["addresses"])),
            Text(node["state"], style="green" if node["state"] == "up" else "bold red"),
            Text("leader", style="cyan") if node["leader"] else Text("voter" if node["role"] == "voter" else "-"),
            _standing(node),
            Text(_labels(node)),
            Text(node["release"]),
            Text(node["id"][:12]),
        )
    former = [
        Text(f"former: {gone['name']} ({gone['id'][:12]}) {gone['how']} {gone['gone_at']}", style="dim")
        for gone in found["former"]
    ]
    return Group(table, *former, *(Text(hint, style="yellow") for hint in found["hints"]))


def one(found: dict[str, Any]) -> RenderableType:
    """A node and what it holds."""
    node = found["node"]
    lines = [
        Text.assemble((node["name"], "bold"), f"  {node['id']}"),
        Text(f"{node['state']}, {node['role']}{', leads' if node['leader'] else ''}, {node['kind']}"),
        Text(f"addresses {', '.join(node['addresses'])}"),
        Text(f"release {node['release']}, admitted {node['admitted_at']}"),
        Text.assemble("standing ", _standing(node)),
        Text(f"labels {_labels(node) or '-'}"),
        Text("holds " + (str(len(found["holds"])) if found["holds"] else "nothing")),
    ]
    return Group(*lines, *(Text(f"  {_hold(hold)}") for hold in found["holds"]))


def removal(found: dict[str, Any]) -> RenderableType:
    """What a removal does, and what stands against it."""
    lines = [Text(f"• {step}") for step in found["steps"]]
    lines += [Text(f"lost: {loss}", style="bold red") for loss in found["losses"]]
    lines += [Text(f"refused: {reason}", style="bold red") for reason in found["refused"]]
    return Group(Text(f"{found['verb']} {found['node']['name']}", style="bold"), *lines)


def may_rejoin(note: dict[str, str]) -> RenderableType:
    """What a node that stayed away is told."""
    return Group(
        Text("This node goes through its doors again."),
        Text(f"It was away because {note['why']}"),
        Text(f"Its old state stays in {note['aside']}; remove it when nobody needs it any more."),
    )


def _standing(node: dict[str, Any]) -> Text:
    kind = "witness" if node["kind"] == "witness" else ""
    standing = "" if node["standing"] == "in_use" else node["standing"]
    return Text(", ".join(filter(None, (kind, standing))) or "in use", style="yellow" if standing else "")


def _labels(node: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in node["labels"].items())


def _hold(hold: dict[str, str]) -> str:
    return f"{hold['noun']} {hold['name'] or hold['id']}: {hold['fate']}"
