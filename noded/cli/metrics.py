"""Who may read the nodes' metrics? `noded metrics <verb>`."""

import click
import msgspec

from noded.cli.asking import as_json, ask, plainly, print_answer
from noded.config import Config


@click.group()
def metrics() -> None:
    """Metrics of nodes, disks and volumes for Prometheus: `https://NODE/metrics`, read with a key."""


@metrics.command("key")
@click.option("--drop", is_flag=True, help="Take the key back: nobody may read any more.")
@as_json
@click.pass_obj
@plainly
def metrics_key(config: Config, drop: bool, as_json: bool) -> None:
    """Make a key and print it, this once; an earlier one counts no more. It is the same for all nodes."""
    answer = ask(config.run, "metrics.drop_key" if drop else "metrics.make_key")
    if as_json:
        print_answer(answer, as_json, lambda: "")
    elif not drop:
        click.echo(msgspec.msgpack.decode(answer)["key"])  # the bare line, so that it can be piped into a file
