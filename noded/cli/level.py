"""What can be asked of the levels of commands: `noded level <verb>`."""

import click
import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from noded.cli.asking import as_json, ask, plainly, print_answer
from noded.config import Config


class _Member(msgspec.Struct, frozen=True):
    id: str
    name: str
    level: int


class Levels(msgspec.Struct, frozen=True):
    """The answer."""

    cluster: int
    nodes: list[_Member]
    held_back_by: list[str]


@click.group()
def level() -> None:
    """Which commands all nodes understand: what makes releases work side by side."""


@level.command("show")
@as_json
@click.pass_obj
@plainly
def level_show(config: Config, as_json: bool) -> None:
    """Show the cluster's level, every node's, and who holds the cluster's back."""
    answer = ask(config.run, "levels.show")
    print_answer(answer, as_json, lambda: level_table(msgspec.msgpack.decode(answer, type=Levels)))


def level_table(found: Levels) -> RenderableType:
    """A line a node."""
    table = Table(box=None, pad_edge=False)
    table.add_column("node")
    table.add_column("level")
    for member in found.nodes:
        table.add_row(Text(member.name), str(member.level))
    head = Text(f"cluster level {found.cluster}")
    if found.held_back_by:
        head.append(f"; held back by {', '.join(found.held_back_by)}: install the newer release there", "yellow")
    return Group(head, table)
