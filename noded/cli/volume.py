"""What can be asked of volumes on a node: `noded volume <verb>`."""

import click
import msgspec

from noded.cli import show
from noded.cli.asking import as_json, ask, plainly, print_answer
from noded.config import Config
from noded.inspection.model import ExplainCall


@click.group()
def volume() -> None:
    """The cluster's volumes, images and root disks among them."""


@volume.command("verify")
@click.argument("id")
@as_json
@click.pass_obj
@plainly
def volume_verify(config: Config, id: str, as_json: bool) -> None:
    """Read every replica of a volume from end to end, check all blocks, and show whether the replicas are equal.

    Replicas that are written meanwhile differ for a moment.
    """
    answer = ask(config.run, "volume.verify", id.encode())
    print_answer(answer, as_json, lambda: show.explanation(msgspec.msgpack.decode(answer, type=dict[str, object])))


@volume.command("explain")
@click.argument("id")
@as_json
@click.pass_obj
@plainly
def volume_explain(config: Config, id: str, as_json: bool) -> None:
    """Show where each extent of a volume lives, which replicas are in sync, who writes it, and how fast they answer."""
    answer = ask(config.run, "inspection.explain", msgspec.msgpack.encode(ExplainCall(noun="volume", id=id)))
    print_answer(answer, as_json, lambda: show.explanation(msgspec.msgpack.decode(answer, type=dict[str, object])))
