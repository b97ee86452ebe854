"""How does one make a token by which machines join, see who used it, and end it? `noded token <verb>`."""

import click
import msgspec
from rich.table import Table
from rich.text import Text

from consensus.doors.model import TokenWanted
from noded.cli.asking import as_json, ask, plainly, print_answer
from noded.config import Config


@click.group()
def token() -> None:
    """Tokens by which machines join from anywhere: `noded join -` there reads one."""


@token.command("create")
@click.option("--uses", default=1, show_default=True, help="How many machines may join by it.")
@click.option("--ttl", default="1h", show_default=True, help="How long it lives: 30m, 12h, 7d.")
@click.option("--address", "addresses", multiple=True, help="Where it sends its bearer; default: the members' own.")
@as_json
@click.pass_obj
@plainly
def token_create(config: Config, uses: int, ttl: str, addresses: tuple[str, ...], as_json: bool) -> None:
    """Make a token and print it, this once. Whoever has it can add a machine: pass it on in confidence."""
    wanted = TokenWanted(uses=uses, ttl=ttl, addresses=addresses)
    answer = ask(config.run, "doors.create_token", msgspec.msgpack.encode(wanted))
    if as_json:
        print_answer(answer, as_json, lambda: "")
    else:
        # The bare line, so that it can be piped: noded token create | ssh host noded join -
        click.echo(msgspec.msgpack.decode(answer)["token"]["text"])


@token.command("list")
@as_json
@click.pass_obj
@plainly
def token_list(config: Config, as_json: bool) -> None:
    """List tokens, what is left of them, and who joined by them. The secrets are not kept and can't be shown."""
    answer = ask(config.run, "doors.tokens")
    print_answer(answer, as_json, lambda: _table(answer))


@token.command("revoke")
@click.argument("id")
@as_json
@click.pass_obj
@plainly
def token_revoke(config: Config, id: str, as_json: bool) -> None:
    """End a token. Machines that have joined by it stay."""
    answer = ask(config.run, "doors.revoke_token", id.encode())
    print_answer(answer, as_json, lambda: _table(answer))


def _table(answer: bytes) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("token", "state", "used", "expires", "made by", "joined"):
        table.add_column(column, overflow="fold")
    for each in msgspec.msgpack.decode(answer)["tokens"]:
        joined = ", ".join(node["name"] or node["id"][:12] for node in each["used_by"])
        used = f"{each['used']} of {each['uses']}"
        table.add_row(*map(Text, (each["id"], each["state"], used, each["expires_at"], each["created_by"], joined)))
    return table
