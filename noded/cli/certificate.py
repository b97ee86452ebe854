"""What can be asked and told of the API's certificates: `noded certificate <verb>`."""

from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from noded.cli.asking import as_json, ask, plainly, print_answer
from noded.config import Config
from noded.core.errors import Invalid

EVERYWHERE = "everywhere"

file = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group()
def certificate() -> None:
    """Certificates of your own, which the APIs and the dashboard show beside the cluster's."""


@certificate.command("install")
@click.argument("cert", type=file)
@click.argument("key", type=file)
@click.option("--node", help="Only this node shows it, by name or id; else every node does.")
@as_json
@click.pass_obj
@plainly
def install(config: Config, cert: Path, key: Path, node: str | None, as_json: bool) -> None:
    """Show CERT (PEM, followed by those that signed it) with its private KEY. Nothing restarts, nobody is cut off.

    Whoever asks for a name in it sees it; who comes by a node's address sees the cluster's, as before.
    """
    new = {"chain": _read(cert), "key": _read(key), "node": node}
    answer = ask(config.run, "own_certificates.install", msgspec.msgpack.encode(new))
    print_answer(answer, as_json, lambda: listing(msgspec.msgpack.decode(answer)))


@certificate.command("list")
@as_json
@click.pass_obj
@plainly
def list_(config: Config, as_json: bool) -> None:
    """List them: where they are shown, for which names, until when."""
    answer = ask(config.run, "own_certificates.list")
    print_answer(answer, as_json, lambda: listing(msgspec.msgpack.decode(answer)))


@certificate.command("remove")
@click.option("--node", help="The one that only this node shows.")
@as_json
@click.pass_obj
@plainly
def remove(config: Config, node: str | None, as_json: bool) -> None:
    """Show the cluster's certificate alone again."""
    answer = ask(config.run, "own_certificates.remove", (node or EVERYWHERE).encode())
    print_answer(answer, as_json, lambda: listing(msgspec.msgpack.decode(answer)))


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeError):
        raise Invalid(f"{path} is no PEM file.") from None


def listing(found: dict[str, Any]) -> RenderableType:
    """A line a certificate."""
    if not found["certificates"]:
        return Text("No certificates of your own: every node shows the cluster's.")
    table = Table(box=None, pad_edge=False)
    for column in ("shown by", "names", "until", "issuer"):
        table.add_column(column, overflow="fold")
    for each in found["certificates"]:
        where = each["node"] or ("every node" if each["place"] == EVERYWHERE else each["place"])
        table.add_row(*map(Text, (where, ", ".join(each["names"]), each["not_after"], each["issuer"])))
    return table
