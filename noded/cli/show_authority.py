"""How does the cluster's authority look in a terminal? Pure: values in, text out."""

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text


def rotation(found: dict[str, Any], *, plan: bool) -> RenderableType:
    """The authority, and how far its rotation has come."""
    lines = [Text(f"authority {found['fingerprint']}")]
    under_way = found["rotation"]
    if under_way is None:
        lines.append(Text("never rotated"))
    else:
        waits = ", ".join(node["name"] for node in under_way["waits_for"]) or "nobody"
        lines.append(
            Text(f"rotation {under_way['number']}: stage {under_way['stage']}, waits for {waits}; begun at").append(
                f" {under_way['begun_at']}"
            )
        )
    if plan:
        lines.append(
            Text(
                "Without --plan: a new authority is made; every node trusts both, every node is signed by the new one,"
                " every node drops the old one. No connection is cut. Clients must then trust the new certificate."
            )
        )
    return Group(*lines)
