"""The key of the cluster's secrets: `noded vault <verb>`."""

from typing import TextIO

import click
import msgspec
from rich.table import Table

from noded.cli.asking import as_json, ask, plainly, print_answer
from noded.config import Config


@click.group()
def vault() -> None:
    """The vault keeps the keys of encrypted volumes. Every member can open it."""


@vault.command()
@as_json
@click.pass_obj
@plainly
def show(config: Config, as_json: bool) -> None:
    """Show which members can open the vault."""
    _print(ask(config.run, "vault.show"), as_json)


@vault.command("export")
@click.pass_obj
@plainly
def export_key(config: Config) -> None:
    """Print the vault's key, to keep off the cluster: whoever has it and a backup can read encrypted volumes."""
    click.echo(msgspec.msgpack.decode(ask(config.run, "vault.export"), type=str))


@vault.command("import")
@click.argument("file", type=click.File())
@as_json
@click.pass_obj
@plainly
def import_key(config: Config, file: TextIO, as_json: bool) -> None:
    """Give this node the vault's key again, from FILE (- for standard input), after a restore on other machines."""
    _print(ask(config.run, "vault.import", msgspec.msgpack.encode(file.read())), as_json)


def _print(answer: bytes, as_json: bool) -> None:
    print_answer(answer, as_json, lambda: _table(msgspec.msgpack.decode(answer, type=dict[str, object])))


def _table(shown: dict[str, object]) -> Table:
    words = f"{shown['secrets']} secrets" if shown["exists"] else "no vault yet: nothing is encrypted"
    table = Table("member", "opens it", title=words)
    members = shown["members"]
    assert isinstance(members, dict)
    for name, opens in sorted(members.items()):
        table.add_row(str(name), "yes" if opens else "no")
    return table
