"""What can be asked and told of the machines: `noded node <verb>`."""

import sys
from collections.abc import Callable
from typing import Any

import click
import msgspec

from noded.cli import show_nodes
from noded.cli.asking import REFUSED, as_json, ask, plainly, print_answer, read_note, take_note_away
from noded.cli.entering import show_refusals, show_requests
from noded.config import Config
from noded.core.errors import Conflict

ANSWER_S_MAX = 60.0  # a vote may have to be taken away first, and the leader to hand over before that

as_plan = click.option("--plan", is_flag=True, help="Only say what would happen.")
by_force = click.option("--force", is_flag=True, help="Accept the losses that --plan names.")


@click.group()
def node() -> None:
    """The machines of the cluster. NODE is a node's name, its id, or the beginning of its id."""


@node.command("list")
@as_json
@click.pass_obj
@plainly
def node_list(config: Config, as_json: bool) -> None:
    """List the nodes: who is up, who votes, who takes work; former nodes too."""
    answer = ask(config.run, "members.list")
    print_answer(answer, as_json, lambda: show_nodes.listing(msgspec.msgpack.decode(answer)))


@node.command("show")
@click.argument("node", required=False)
@as_json
@click.pass_obj
@plainly
def node_show(config: Config, node: str | None, as_json: bool) -> None:
    """Show a node and what it holds; without NODE this one."""
    _tell(config, "members.show", as_json, show_nodes.one, node=node)


@node.command("drain")
@click.argument("node")
@as_json
@click.pass_obj
@plainly
def node_drain(config: Config, node: str, as_json: bool) -> None:
    """Give a node nothing new: no servers, no replicas, no vote. Says what still holds it."""
    _tell(config, "members.drain", as_json, show_nodes.one, node=node, draining=True)


@node.command("undrain")
@click.argument("node")
@as_json
@click.pass_obj
@plainly
def node_undrain(config: Config, node: str, as_json: bool) -> None:
    """Let a drained node take part again."""
    _tell(config, "members.drain", as_json, show_nodes.one, node=node, draining=False)


@node.command("rename")
@click.argument("node")
@click.argument("name")
@as_json
@click.pass_obj
@plainly
def node_rename(config: Config, node: str, name: str, as_json: bool) -> None:
    """Call a node otherwise."""
    _tell(config, "members.rename", as_json, show_nodes.one, node=node, name=name)


@node.command("label")
@click.argument("node")
@click.argument("labels", nargs=-1, required=True)
@as_json
@click.pass_obj
@plainly
def node_label(config: Config, node: str, labels: tuple[str, ...], as_json: bool) -> None:
    """Set labels (KEY=VALUE) or take them away (KEY-). `zone`, `room` and `rack` say what may fail as a whole."""
    _tell(config, "members.label", as_json, show_nodes.one, node=node, labels=dict(map(_label, labels)))


@node.command("leave")
@click.argument("node", required=False)
@as_plan
@by_force
@as_json
@click.pass_obj
@plainly
def node_leave(config: Config, node: str | None, plan: bool, force: bool, as_json: bool) -> None:
    """Let a node go for good; without NODE this one. It sets its state aside and can join again."""
    _remove(config, "members.leave", as_json, node=node, plan=plan, forced=force)


@node.command("forget")
@click.argument("node")
@as_plan
@by_force
@as_json
@click.pass_obj
@plainly
def node_forget(config: Config, node: str, plan: bool, force: bool, as_json: bool) -> None:
    """Remove a node that is gone: its record, its vote, its certificate, and what hung on it."""
    _remove(config, "members.forget", as_json, node=node, plan=plan, forced=force)


@node.command("rejoin")
@as_json
@click.pass_obj
@plainly
def node_rejoin(config: Config, as_json: bool) -> None:
    """Let this node, which left or was forgotten, go through its doors again."""
    note = read_note(config.state)
    if note is None:
        raise Conflict("This node neither left nor was forgotten: nothing keeps it from joining.")
    take_note_away(config.state)
    print_answer(msgspec.msgpack.encode(note), as_json, lambda: show_nodes.may_rejoin(note))


def _tell(config: Config, method: str, as_json: bool, table: Callable[[Any], object], **asked: object) -> Any:
    answer = ask(config.run, method, msgspec.msgpack.encode(asked), limit_s=ANSWER_S_MAX)
    told = msgspec.msgpack.decode(answer)
    print_answer(answer, as_json, lambda: table(told))
    return told


def _remove(config: Config, method: str, as_json: bool, **asked: object) -> None:
    """A plan that something stands against is told whole, and ends as the removal itself would."""
    if _tell(config, method, as_json, show_nodes.removal, **asked)["refused"]:
        sys.exit(REFUSED)


def _label(text: str) -> tuple[str, str | None]:
    key, equals, value = text.partition("=")
    if equals:
        return key, value
    if text.endswith("-") and len(text) > 1:
        return text[:-1], None
    raise click.UsageError(f"{text!r} is neither KEY=VALUE nor KEY-")


@node.command("pending")
@as_json
@click.pass_obj
@plainly
def node_pending(config: Config, as_json: bool) -> None:
    """List the nodes that want to join: those that wait for a yes, and those that are only announced."""
    show_requests(config, as_json)


@node.command("refusals")
@as_json
@click.pass_obj
@plainly
def node_refusals(config: Config, as_json: bool) -> None:
    """List who was turned away since the daemons started: wrong secrets, unknown certificates, scans of ports."""
    show_refusals(config, as_json)
