"""What can be asked of the replicated log: `noded log <verb>`."""

import click
import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from consensus.disks.model import LogStatus
from consensus.disks.views import advice, log_view
from noded.cli.asking import as_json, ask, plainly, print_answer
from noded.config import Config
from noded.core.units import MIB


@click.group()
def log() -> None:
    """The log that all nodes share, and the disks that it lies on."""


@log.command("show")
@as_json
@click.pass_obj
@plainly
def log_show(config: Config, as_json: bool) -> None:
    """Show how far each node has the log, of which life it is, and how full the disk below it."""
    found = msgspec.msgpack.decode(ask(config.run, "log.status"), type=list[LogStatus])
    shown = msgspec.msgpack.encode([log_view(status) for status in found])
    print_answer(shown, as_json, lambda: log_table(found))


def log_table(found: list[LogStatus]) -> RenderableType:
    """A line a node, and below what should be done."""
    table = Table(box=None, pad_edge=False)
    for column in ("node", "leads", "applied", "life", "disk", "free", "reserve"):
        table.add_column(column, no_wrap=column != "node")
    notes: list[Text] = []
    for status in found:
        report = status.report
        if report is None:
            table.add_row(Text(status.name), "", "no answer", "", "", "", "")
            continue
        life, room = report.incarnation, report.room
        table.add_row(
            Text(status.name),
            "yes" if status.leader else "",
            str(report.applied),
            f"{life.count} ({life.id[:8]})" if life else "none yet",
            room.standing.name.lower(),
            f"{room.free_bytes // MIB} MiB",
            f"{room.reserve_bytes // MIB} MiB",
        )
        if said := advice(status.name, room):
            notes.append(Text(said))
    return Group(table, *notes)
