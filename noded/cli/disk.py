"""What can be asked and told of the pool's disks: `noded disk <verb>`."""

from typing import Any

import click
import msgspec

from noded.cli import show_disks
from noded.cli.asking import as_json, ask, plainly, print_answer
from noded.config import Config
from noded.core.clock import now_ms
from noded.core.units import MIB

LONG_S_MAX = 120.0  # making a file system, or removing what lies on a disk
as_plan = click.option("--plan", is_flag=True, help="Only say what would happen.")


@click.group()
def disk() -> None:
    """The disks of the pool. DISK is a disk's id, the beginning of one, or NODE:DIRECTORY."""


@disk.command("list")
@as_json
@click.pass_obj
@plainly
def disk_list(config: Config, as_json: bool) -> None:
    """List the disks: how full they are, what they hold, and what moves."""
    answer = ask(config.run, "disks.list")
    print_answer(answer, as_json, lambda: show_disks.listing(msgspec.msgpack.decode(answer), now_ms()))


@disk.command("add")
@click.argument("path")
@click.option("--node", default="", metavar="NODE", help="Whose it is; default: this node.")
@click.option("--format", "may_format", is_flag=True, help="Make a file system on a blank device.")
@as_plan
@as_json
@click.pass_obj
@plainly
def disk_add(config: Config, path: str, node: str, may_format: bool, plan: bool, as_json: bool) -> None:
    """Give a directory or a block device of a node to the pool, while everything runs.

    PATH is an empty directory on a file system of its own, or a device that is blank or holds an empty pool disk.
    """
    _tell(config, "disks.add", as_json, path=path, node=node, format=may_format, plan=plan)


@disk.command("locate")
@click.argument("disk")
@click.option("--off", is_flag=True, help="Let the light go out again.")
@as_json
@click.pass_obj
@plainly
def disk_locate(config: Config, disk: str, off: bool, as_json: bool) -> None:
    """Let the light at a disk's slot shine. Prints the drive's device, serial number and slot, and what is missing."""
    answer = ask(config.run, "disks.locate", msgspec.msgpack.encode({"name": disk, "lit": not off}))
    print_answer(answer, as_json, lambda: show_disks.drive(msgspec.msgpack.decode(answer)))


@disk.command("health")
@as_json
@click.pass_obj
@plainly
def disk_health(config: Config, as_json: bool) -> None:
    """Show what the drive behind each disk says of itself (SMART): temperature, hours, warnings."""
    answer = ask(config.run, "disks.health")
    print_answer(answer, as_json, lambda: show_disks.drives(msgspec.msgpack.decode(answer)))


@disk.command("sweep")
@click.argument("disk")
@as_plan
@as_json
@click.pass_obj
@plainly
def disk_sweep(config: Config, disk: str, plan: bool, as_json: bool) -> None:
    """Remove what lies on a disk and no record names, as `noded doctor` tells of it. See the plan first."""
    _tell(config, "disks.sweep", as_json, disk=disk, plan=plan)


@disk.command("drain")
@click.argument("disk")
@as_plan
@as_json
@click.pass_obj
@plainly
def disk_drain(config: Config, disk: str, plan: bool, as_json: bool) -> None:
    """Empty a disk: its replicas are made on others, and leave it when those are in sync. Nothing new comes to it."""
    _tell(config, "disks.set", as_json, disk=disk, draining=True, plan=plan)


@disk.command("replace")
@click.argument("disk")
@as_plan
@as_json
@click.pass_obj
@plainly
def disk_replace(config: Config, disk: str, plan: bool, as_json: bool) -> None:
    """Give a disk up that has failed or is to be taken out: as drain, and it need not answer. Then remove it."""
    _tell(config, "disks.set", as_json, disk=disk, draining=True, plan=plan)


@disk.command("undrain")
@click.argument("disk")
@as_json
@click.pass_obj
@plainly
def disk_undrain(config: Config, disk: str, as_json: bool) -> None:
    """Let a disk that was drained take replicas again."""
    _tell(config, "disks.set", as_json, disk=disk, draining=False)


@disk.command("weight")
@click.argument("disk")
@click.argument("weight", type=float)
@as_json
@click.pass_obj
@plainly
def disk_weight(config: Config, disk: str, weight: float, as_json: bool) -> None:
    """Give a disk more or less than its size alone would: 1 is usual, 2 is twice as much, 0 empties it."""
    _tell(config, "disks.set", as_json, disk=disk, weight=weight)


@disk.command("scrub")
@click.argument("disk")
@as_json
@click.pass_obj
@plainly
def disk_scrub(config: Config, disk: str, as_json: bool) -> None:
    """Have all that a disk holds read, compared with the other replicas, and mended. `list` shows how far that is."""
    _tell(config, "disks.set", as_json, disk=disk, scrub=True)


@disk.command("remove")
@click.argument("disk")
@as_json
@click.pass_obj
@plainly
def disk_remove(config: Config, disk: str, as_json: bool) -> None:
    """Take a drained disk, on which nothing is any more, out of the pool."""
    _tell(config, "disks.remove", as_json, disk=disk)


@disk.command("policy")
@click.option("--patience", type=int, metavar="SECONDS", help="How long a node or disk may be away.")
@click.option("--at-once", type=int, metavar="N", help="Replicas of extents that are made at the same time.")
@click.option("--per-disk", type=int, metavar="N", help="The same on one disk.")
@click.option("--rate", type=int, metavar="MIB", help="How fast one volume is copied, in MiB a second.")
@click.option("--overcommit", type=float, metavar="N", help="So many times its size the pool may promise; 0: any.")
@click.option("--scrub-days", type=int, metavar="DAYS", help="How often each replica is checked; 0: when asked for.")
@click.option("--scrub-rate", type=int, metavar="MIB", help="How fast each replica is checked, in MiB a second.")
@click.option("--balance/--no-balance", "balances", default=None, help="Whether disks are filled evenly.")
@as_json
@click.pass_obj
@plainly
def disk_policy(
    config: Config,
    patience: int | None,
    at_once: int | None,
    per_disk: int | None,
    rate: int | None,
    overcommit: float | None,
    scrub_days: int | None,
    scrub_rate: int | None,
    balances: bool | None,
    as_json: bool,
) -> None:
    """Show or change how replicas are moved and how often checked, and how much thin volumes may be promised."""
    bytes_s = None if rate is None else rate * MIB
    asked = {
        "patience_s": patience,
        "at_once": at_once,
        "per_disk": per_disk,
        "bytes_s": bytes_s,
        "balances": balances,
        "overcommit": overcommit,
        "scrub_days": scrub_days,
        "scrub_bytes_s": None if scrub_rate is None else scrub_rate * MIB,
    }
    answer = ask(config.run, "disks.policy", msgspec.msgpack.encode(asked))
    print_answer(answer, as_json, lambda: show_disks.policy(msgspec.msgpack.decode(answer)))


def _tell(config: Config, method: str, as_json: bool, **asked: Any) -> None:
    answer = ask(config.run, method, msgspec.msgpack.encode(asked), LONG_S_MAX)
    print_answer(answer, as_json, lambda: show_disks.plan(msgspec.msgpack.decode(answer)))
