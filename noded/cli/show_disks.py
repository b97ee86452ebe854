"""How disks look in a terminal. Pure: values in, rich tables out."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from noded.core.units import GIB, MIB

DAY_MS = 86_400_000
_STYLES = {"in use": "green", "draining": "yellow", "full": "yellow", "away": "bold red", "failed": "bold red"}

# Texts, not markup: directories are of users' making.


def listing(found: dict[str, Any], now_ms: int) -> RenderableType:
    """A line a disk, then the pool."""
    table = Table(box=None, pad_edge=False)
    for column in ("disk", "node", "directory", "state", "used", "weight", "replicas", "moves", "copied in", "checked"):
        table.add_column(column, no_wrap=column in {"state", "used"}, overflow="fold")
    for disk in sorted(found["disks"], key=lambda disk: (disk["node"], disk["name"])):
        table.add_row(
            Text(disk["id"][:12]),
            Text(disk["node"]),
            Text(disk["name"]),
            Text(disk["state"], style=_STYLES.get(disk["state"], "")),
            f"{disk['used_bytes'] / GIB:.1f} of {disk['size_bytes'] / GIB:.1f} GiB",
            f"{disk['weight']:g}",
            f"{disk['replicas']}" + (f", {disk['behind']} behind" if disk["behind"] else ""),
            _moves(disk),
            f"{disk['moved_in_bytes'] / GIB:.2f} GiB",
            _checked(disk, now_ms),
        )
    faults = [Text(f"! {disk['name']}: {disk['fault']}", style="yellow") for disk in found["disks"] if disk["fault"]]
    pool = found["pool"]
    text = (
        f"pool: {pool['used_bytes'] / GIB:.1f} of {pool['size_bytes'] / GIB:.1f} GiB used, "
        f"{pool['promised_bytes'] / GIB:.1f} GiB promised to {pool['volumes']} volumes, "
        f"{pool['degraded_volumes']} with replicas behind, {pool['moves']} replicas being made"
    )
    return Group(table, *faults, Text(text, style="dim"))


def drive(found: dict[str, Any]) -> RenderableType:
    """One drive, and what became of its light."""
    light = {True: "its light shines", False: "its light is out", None: "its light can't be told to shine"}
    lines = [Text(f"{found['name']}: {_drive_words(found)}; {light[found['lit']]}")]
    return Group(*lines, *(Text(f"! {lack}", style="yellow") for lack in found["lacks"]))


def drives(found: dict[str, Any]) -> RenderableType:
    """A drive a disk: its health in its own words."""
    lines = []
    for disk_id, line in sorted(found["drives"].items()):
        smart = line.get("smart")
        said = "nothing is known of its health" if smart is None else _health_words(smart)
        lines.append(Text(f"{disk_id[:12]}  {_drive_words(line)}: {said}"))
        lines += [Text(f"! {warning}", style="bold red") for warning in (smart or {}).get("warnings", ())]
        lines += [Text(f"  {lack}", style="dim") for lack in line["lacks"]]
    return Group(*lines)


def _drive_words(line: dict[str, Any]) -> str:
    words = [line.get("device") or "no drive", line.get("model", "")]
    words += [f"serial {line['serial']}"] if line.get("serial") else []
    words += [f"slot {line['slot']}"] if line.get("slot") else []
    return ", ".join(word for word in words if word)


def _health_words(smart: dict[str, Any]) -> str:
    words = ["passed" if smart["passed"] else "FAILING"]
    words += [f"{smart['temperature_c']} °C"] if smart["temperature_c"] is not None else []
    words += [f"{smart['power_on_hours']} h"] if smart["power_on_hours"] is not None else []
    return ", ".join(words)


def plan(found: dict[str, Any]) -> RenderableType:
    """What is done, or would be."""
    lines = [Text(f"• {step}") for step in found["steps"]]
    lines += [Text(f"! {warning}", style="yellow") for warning in found["warnings"]]
    return Group(Text(f"disk {found['disk']}" + ("" if found["done"] else " (nothing is done yet)")), *lines)


def policy(found: dict[str, Any]) -> RenderableType:
    """How replicas are moved."""
    limit = found["overcommit"]
    promise = f"at most {limit:g} times the size of all disks" if limit else "as much as is asked for"
    balance = "filled evenly" if found["balances"] else "left as they are"
    often = f"every {found['scrub_days']} days" if found["scrub_days"] else "only when somebody asks"
    return Group(
        Text(f"patience with what is away: {found['patience_s']} s"),
        Text(f"replicas made at once: {found['at_once']} in the cluster, {found['per_disk']} on a disk"),
        Text(f"copied at most at {found['bytes_s'] / MIB:.0f} MiB/s a volume"),
        Text(f"disks are {balance}"),
        Text(f"promised to thin volumes: {promise}"),
        Text(
            f"each replica is checked {often} at {found['scrub_bytes_s'] / MIB:.0f} MiB/s, slower while guests use it"
        ),
    )


def _checked(disk: dict[str, Any], now_ms: int) -> str:
    """How much of it has been checked, and how long ago at the least."""
    scrub = disk["scrub"]
    if not disk["replicas"]:
        return "-"
    words = [f"{100 * scrub['checked']:.0f} %"]
    if scrub["oldest_ms"]:
        words.append(f"{max(0, now_ms - scrub['oldest_ms']) / DAY_MS:.0f} d ago")
    mended = scrub["rotten_blocks"] + scrub["different_blocks"]
    return ", ".join(words + ([f"{mended} blocks mended"] if mended else []))


def _moves(disk: dict[str, Any]) -> str:
    words = [f"{disk[what]} {what}" for what in ("coming", "going") if disk[what]]
    words += [f"{disk['to_remove']} to remove"] if disk["to_remove"] else []
    return ", ".join(words) or "-"
