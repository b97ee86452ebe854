"""What can be typed: `noded <noun> <verb>`. Exit codes: 0 done, 1 refused, 2 wrong words, 3 no daemon answers."""

import sys
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import ParamSpec

import click
import msgspec
from rich.console import Console

from noded.cli import show
from noded.cli.host.local import ask
from noded.config import CONFIG_FILE, Config, ConfigFault, read_config
from noded.core.errors import Refused, Unavailable
from noded.inspection.model import ClusterStatus, ExplainCall

REFUSED, USAGE, NO_DAEMON = 1, 2, 3

P = ParamSpec("P")


def _plainly(command: Callable[P, None]) -> Callable[P, None]:
    """Tell a refusal in one sentence and by its exit code."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except Unavailable as fault:
            click.echo(f"noded: {fault.message} Is the daemon running?", err=True)
            sys.exit(NO_DAEMON)
        except Refused as refused:
            click.echo(f"noded: {refused.message}", err=True)
            sys.exit(REFUSED)

    return run


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("noded"), prog_name="noded")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), default=CONFIG_FILE, show_default=True,
    help="The node's configuration file.",
)  # fmt: skip
@click.pass_context
def main(context: click.Context, config_file: Path) -> None:
    """A whole private cloud in one daemon. Run on a node, as root.

    Exit codes: 0 done, 1 refused (the message says why), 2 wrong words, 3 no daemon answers on this host.
    """
    try:
        context.obj = read_config(config_file)
    except ConfigFault as fault:
        raise click.UsageError(str(fault)) from fault


@main.command()
@click.pass_obj
def daemon(config: Config) -> None:
    """Run the node: everything, until SIGTERM."""
    from noded.daemon import run  # noqa: PLC0415  # the whole house; the other commands must start at once

    run(config)


@main.command()
@as_json
@click.pass_obj
@_plainly
def status(config: Config, as_json: bool) -> None:
    """Show the cluster: its nodes, who leads, how busy and how full they are."""
    answer = ask(config.run, "inspection.status")
    _print(answer, as_json, lambda: show.status(msgspec.msgpack.decode(answer, type=ClusterStatus)))


@main.group()
def node() -> None:
    """The machines of the cluster."""


@node.command("list")
@as_json
@click.pass_obj
@_plainly
def node_list(config: Config, as_json: bool) -> None:
    """List the nodes."""
    found = msgspec.msgpack.decode(ask(config.run, "inspection.status"), type=ClusterStatus)
    _print(msgspec.msgpack.encode(found.nodes), as_json, lambda: show.nodes(found.nodes))


@main.group()
def volume() -> None:
    """The cluster's volumes, images and root disks among them."""


@volume.command("verify")
@click.argument("id")
@as_json
@click.pass_obj
@_plainly
def volume_verify(config: Config, id: str, as_json: bool) -> None:
    """Read every replica of a volume from end to end, check all blocks, and show whether the replicas are equal.

    Replicas that are written meanwhile differ for a moment.
    """
    answer = ask(config.run, "volume.verify", id.encode())
    _print(answer, as_json, lambda: show.explanation(msgspec.msgpack.decode(answer, type=dict[str, object])))


@main.command()
@as_json
@click.pass_obj
@_plainly
def routes(config: Config, as_json: bool) -> None:
    """List every HTTP route, the function that answers it, and who may use it."""
    answer = ask(config.run, "inspection.routes")
    _print(answer, as_json, lambda: show.routes(msgspec.msgpack.decode(answer, type=list[dict[str, str]])))


@main.command()
@click.argument("noun")
@click.argument("id")
@as_json
@click.pass_obj
@_plainly
def explain(config: Config, noun: str, id: str, as_json: bool) -> None:
    """Explain why a thing is as it is: what is wanted, what was observed, what is still to do.

    NOUN is what it is, such as `server`; ID is its id or name.
    """
    answer = ask(config.run, "inspection.explain", msgspec.msgpack.encode(ExplainCall(noun=noun, id=id)))
    _print(answer, as_json, lambda: show.explanation(msgspec.msgpack.decode(answer, type=dict[str, object])))


def _print(answer: bytes, as_json: bool, table: Callable[[], object]) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(msgspec.msgpack.decode(answer))))
    else:
        Console().print(table())
