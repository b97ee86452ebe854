"""How history looks in a terminal. Pure: values in, rich texts and tables out. Users' words are texts, never markup."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from consensus.history.model import (
    Comparison,
    Difference,
    HistoryGap,
    HistoryLine,
    HistoryPage,
    RecordDifference,
    Verdict,
)

_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


def page(found: HistoryPage) -> RenderableType:
    """A line a change, newest first."""
    table = Table(box=None, pad_edge=False)
    for column in ("revision", "time (UTC)", "who", "from", "what"):
        table.add_column(column, no_wrap=column in {"revision", "time (UTC)"}, overflow="fold")
    for line in found.lines:
        if isinstance(line, HistoryGap):
            gap = f"lines after revision {line.after}, up to {line.until}, are missing on this node"
            table.add_row("", "", "", "", Text(gap, style="bold red"))
        else:
            place = line.address or line.who.partition(":")[0]
            table.add_row(
                str(line.revision), line.at.rstrip("Z").replace("T", " "), Text(_who(line)), Text(place), _what(line)
            )
    foot = f"nothing older than revision {found.kept_after + 1} is kept" if found.older is None else ""
    return Group(table, Text(foot or f"older: --before {found.older}", style="dim"))


def verdict(found: Verdict) -> RenderableType:
    """What was found, worst first."""
    lines = [Text(f"revision {each.revision}: {each.what}", style="bold red") for each in found.problems]
    lines += [
        Text(f"lines after revision {each.after}, up to {each.until}, are missing on this node", style="bold red")
        for each in found.gaps
    ]
    lines += [_comparison(each) for each in found.nodes]
    if found.expected:
        words = {
            "equal": Text("the noted head is the same here", style="green"),
            "altered": Text("the noted head is another one here: history was altered", style="bold red"),
            "unknown": Text("the noted revision is not known here: nothing can be said of it", style="yellow"),
        }
        lines.append(words[found.expected])
    good = Text(f"{found.lines} lines since revision {found.kept_after}: each follows the one before", style="green")
    return Group(*lines, *([] if found.problems else [good]), Text(f"head {found.head}", overflow="fold"))


def difference(found: Difference) -> RenderableType:
    """A record after the other, with the fields that differ."""
    parts: list[RenderableType] = [
        Text(f"from revision {found.from_revision} to {found.to_revision}: {len(found.records)} records", style="dim")
    ]
    for record in found.records:
        parts.append(_record(record))
        if record.change == "changed":
            parts += [
                Text.assemble(f"    {name}: ", (_value(old), "red"), " → ", (_value(new), "green"))
                for name, (old, new) in record.fields.items()
            ]
            if not record.fields:
                parts.append(Text("    the change was too large to be kept", style="dim"))
    if found.left_out:
        parts.append(Text(f"and {found.left_out} more records: narrow it with --object", style="dim"))
    return Group(*parts)


def _who(line: HistoryLine) -> str:
    kind, _, id = line.who.partition(":")
    return line.name if kind == "user" else f"{kind} {line.name or id}".strip()


def _what(line: HistoryLine) -> Text:
    text = Text("; ".join(line.told))
    if line.outcome == "refused":
        text.append(f" - refused: {line.reason}", style="red")
    return text


def _comparison(node: Comparison) -> Text:
    name = node.name or node.node_id
    if not node.answered:
        return Text(f"node {name} can't be asked", style="yellow")
    if node.differs_from is not None:
        return Text(f"node {name} has another line at revision {node.differs_from}", style="bold red")
    return Text(f"node {name} agrees", style="green")


def _record(record: RecordDifference) -> Text:
    sign, style = _SIGNS[record.change]
    return Text.assemble((f"{sign} {record.noun} ", style), record.name and f"{record.name} ", (record.id, "dim"))


def _value(value: object) -> str:
    return "none" if value is None else str(value)
