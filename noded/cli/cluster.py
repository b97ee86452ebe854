"""What can be done to the cluster as a whole from one node: `noded cluster <verb>`."""

import sys

import click
import msgspec

from noded.cli import show_authority, show_recovery
from noded.cli.asking import as_json, ask, plainly, print_answer
from noded.config import Config
from noded.core.errors import Conflict, Invalid


@click.group()
def cluster() -> None:
    """The cluster as a whole."""


@cluster.command("lives")
@as_json
@click.pass_obj
@plainly
def lives(config: Config, as_json: bool) -> None:
    """List when the cluster's log began anew: after a lost majority, or from a backup."""
    answer = ask(config.run, "recovery.lives")
    print_answer(answer, as_json, lambda: show_recovery.lives(msgspec.msgpack.decode(answer)))


@cluster.command("recover")
@click.option("--plan", "--show", "plan", is_flag=True, help="Only say what would happen and what may be lost.")
@click.option("--force", is_flag=True, help="Although --plan warns.")
@click.option("--yes", is_flag=True, help="Don't ask for the cluster's name.")
@as_json
@click.pass_obj
@plainly
def recover(config: Config, plan: bool, force: bool, yes: bool, as_json: bool) -> None:
    """Go on with this node alone when the majority of the voters is lost for good. The daemon may run or not.

    Run it on the survivor that holds most of the log; --plan on any of them says which that is. The other survivors
    follow it by themselves. It is no cure for a broken network: those behind it would lose what they acknowledge.
    """
    from noded.cli import offline  # noqa: PLC0415  # the whole house: the other verbs must start at once

    outlook = offline.look(config)
    report = show_recovery.plan_facts(outlook.plan)
    if plan:
        print_answer(msgspec.msgpack.encode(report), as_json, lambda: show_recovery.plan(outlook.plan))
        return
    if outlook.plan.obstacles:
        raise Conflict(" ".join(outlook.plan.obstacles))
    if outlook.plan.warnings and not force:
        raise Conflict(" ".join(outlook.plan.warnings) + " With --force it is done all the same.")
    if not yes:
        if not sys.stdin.isatty():
            raise Invalid("This needs a yes: look at --plan, then give --yes, or run it on a terminal.")
        print_answer(b"", False, lambda: show_recovery.plan(outlook.plan))
        if click.prompt("Type the cluster's name to go on", err=True) != outlook.plan.cluster:
            raise Invalid("That is not its name. Nothing was changed.")
    done = offline.recover_here(config, outlook)
    after = show_recovery.recovered_facts(outlook.plan, done)
    print_answer(msgspec.msgpack.encode(after), as_json, lambda: show_recovery.recovered(after))


@cluster.command("rotate-ca")
@click.option("--plan", is_flag=True, help="Only say what would happen, and how far the last rotation has come.")
@as_json
@click.pass_obj
@plainly
def rotate_ca(config: Config, plan: bool, as_json: bool) -> None:
    """Make a new authority for the cluster: all nodes trust it, are signed by it, and drop the old one, by themselves.

    A node that is away holds this up until it is back or forgotten. Clients need the new certificate then: it is in
    /var/lib/noded/tls/ca.crt on every node. Tokens made before it no longer open anything.
    """
    answer = ask(config.run, "certificates.show" if plan else "certificates.rotate")
    print_answer(answer, as_json, lambda: show_authority.rotation(msgspec.msgpack.decode(answer), plan=plan))
