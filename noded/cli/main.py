"""What can be typed: `noded <noun> <verb>`. Exit codes: 0 done, 1 refused, 2 wrong words, 3 no daemon answers,
4 `noded doctor` found something.
"""

from importlib.metadata import version
from pathlib import Path

import click
import msgspec
from click.core import ParameterSource

from noded.cli import show
from noded.cli.admin import admin
from noded.cli.asking import as_json, ask, plainly, print_answer
from noded.cli.backup import backup, restore
from noded.cli.backup_target import backup_target
from noded.cli.certificate import certificate
from noded.cli.cluster import cluster
from noded.cli.disk import disk
from noded.cli.doctor import doctor
from noded.cli.entering import approve, claim, join, join_requests
from noded.cli.gateway import gateway
from noded.cli.history import diff, history
from noded.cli.level import level
from noded.cli.log import log
from noded.cli.metrics import metrics
from noded.cli.node import node
from noded.cli.policy import policy
from noded.cli.token import token
from noded.cli.vault import vault
from noded.cli.volume import volume
from noded.config import CONFIG_FILE, Config, ConfigFault, read_config
from noded.inspection.model import ClusterStatus, ExplainCall


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("noded"), prog_name="noded")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), default=CONFIG_FILE, show_default=True,
    help="The node's configuration file.",
)  # fmt: skip
@click.pass_context
def main(context: click.Context, config_file: Path) -> None:
    """A whole private cloud in one daemon. Run on a node, as root.

    Exit codes: 0 done, 1 refused (the message says why), 2 wrong words, 3 no daemon answers on this host,
    4 the doctor found something.
    """
    try:
        named = context.get_parameter_source("config_file") is not ParameterSource.DEFAULT  # so it was meant
        context.obj = read_config(config_file, must_exist=named)
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
@plainly
def status(config: Config, as_json: bool) -> None:
    """Show the cluster: its nodes, who leads, how busy and how full they are."""
    answer = ask(config.run, "inspection.status")
    print_answer(answer, as_json, lambda: show.status(msgspec.msgpack.decode(answer, type=ClusterStatus)))


@main.command()
@as_json
@click.pass_obj
@plainly
def routes(config: Config, as_json: bool) -> None:
    """List every HTTP route, the function that answers it, and who may use it."""
    answer = ask(config.run, "inspection.routes")
    print_answer(answer, as_json, lambda: show.routes(msgspec.msgpack.decode(answer, type=list[dict[str, str]])))


@main.command()
@click.argument("noun")
@click.argument("id")
@as_json
@click.pass_obj
@plainly
def explain(config: Config, noun: str, id: str, as_json: bool) -> None:
    """Explain why a thing is as it is: what is wanted, what was observed, what is still to do.

    NOUN is what it is, such as `server`; ID is its id or name.
    """
    answer = ask(config.run, "inspection.explain", msgspec.msgpack.encode(ExplainCall(noun=noun, id=id)))
    print_answer(answer, as_json, lambda: show.explanation(msgspec.msgpack.decode(answer, type=dict[str, object])))


for noun in (
    backup,
    backup_target,
    certificate,
    cluster,
    diff,
    disk,
    doctor,
    gateway,
    history,
    level,
    log,
    metrics,
    node,
    policy,
    token,
    vault,
    volume,
):
    main.add_command(noun)
for verb in (admin, approve, claim, join, join_requests, restore):
    main.add_command(verb)
