"""What can be asked and told of the machines: `noded node <verb>`."""

import click
import msgspec

from noded.cli import show
from noded.cli.asking import as_json, ask, plainly, print_answer
from noded.config import Config
from noded.inspection.model import ClusterStatus


@click.group()
def node() -> None:
    """The machines of the cluster."""


@node.command("list")
@as_json
@click.pass_obj
@plainly
def node_list(config: Config, as_json: bool) -> None:
    """List the nodes."""
    found = msgspec.msgpack.decode(ask(config.run, "inspection.status"), type=ClusterStatus)
    print_answer(msgspec.msgpack.encode(found.nodes), as_json, lambda: show.nodes(found.nodes))
