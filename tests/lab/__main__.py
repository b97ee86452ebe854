"""The lab from a shell: `python -m tests.lab up --hosts 3`, and so on."""

import os
from pathlib import Path

import click

from tests.lab.access import connect
from tests.lab.commands import LabError
from tests.lab.lab import Lab
from tests.lab.plan import CLOUDS_FILE, KEY_FILE, ROOT, Plan, load
from tests.lab.reach import ssh_command


class Verbs(click.Group):
    """Says what went wrong in one line instead of a traceback."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except LabError as error:
            raise click.ClickException(str(error)) from None


def _existing(root: Path) -> Lab:
    plan = load(root)
    if plan is None:
        raise LabError(f"there is no lab in {root}; make one with: python -m tests.lab up")
    return Lab(plan)


@click.group(cls=Verbs)
@click.option("--root", type=click.Path(path_type=Path), default=ROOT, show_default=True, help="where its state lives")
@click.pass_context
def verbs(context: click.Context, root: Path) -> None:
    """Simulated hosts on this machine, joined by an underlay, each with its own disks, libvirtd and noded."""
    context.obj = root.resolve()


@verbs.command()
@click.option("--hosts", type=int, help="how many; 3 for a new lab, else as many as it has")
@click.option("--foreground", is_flag=True, help="stay until Ctrl-C, then end the lab")
@click.pass_obj
def up(root: Path, hosts: int | None, foreground: bool) -> None:
    """Start all hosts and return when all serve."""
    earlier = load(root)
    lab = Lab(Plan(root=root, hosts_count=hosts or (earlier.hosts_count if earlier else 3)))
    lab.hold(detached=not foreground)
    try:
        lab.boot(click.echo)
        lab.wait_ready(say=click.echo)
        if foreground:
            lab.wait_end()
    except BaseException:
        lab.down()
        raise


@verbs.command()
@click.pass_obj
def down(root: Path) -> None:
    """Switch everything off; the hosts keep their disks."""
    if load(root) is not None:
        _existing(root).down()


@verbs.command()
@click.pass_obj
def status(root: Path) -> None:
    """Which hosts are on, and what is cut."""
    lab = _existing(root)
    state = lab.status()
    for host, row in zip(lab.hosts, state["hosts"], strict=True):
        power = f"on (pid {row['pid']})" if row["pid"] else "off"
        click.echo(f"{host.name}  {host.address}  {power}  daemon {row['daemon']}")
    for source, target in state["cuts"]:
        click.echo(f"cut: host{source} -> host{target}")


@verbs.command(context_settings={"ignore_unknown_options": True})
@click.argument("number", type=int)
@click.argument("command", nargs=-1, required=True)
@click.pass_obj
def exec(root: Path, number: int, command: tuple[str, ...]) -> None:
    """Run a COMMAND in host NUMBER: exec 1 -- virsh list"""
    argv = _existing(root).host(number).command(*command)
    os.execvp(argv[0], argv)


@verbs.command(context_settings={"ignore_unknown_options": True})
@click.argument("server")
@click.argument("command", nargs=-1)
@click.pass_obj
def ssh(root: Path, server: str, command: tuple[str, ...]) -> None:
    """Log in to the guest of a SERVER that `make run` created, as user guest."""
    argv = ssh_command(_existing(root), connect(CLOUDS_FILE), root / KEY_FILE, server, command)
    os.execvp(argv[0], argv)


@verbs.command()
@click.argument("number", type=int)
@click.option("--lose-unsynced", is_flag=True, help="what no program synced is gone from its disks")
@click.pass_obj
def kill(root: Path, number: int, lose_unsynced: bool) -> None:
    """Cut the power of a host."""
    _existing(root).host(number).kill(lose_unsynced=lose_unsynced)


@verbs.command()
@click.argument("number", type=int)
@click.pass_obj
def start(root: Path, number: int) -> None:
    """Switch a host on again."""
    _existing(root).host(number).start()


@verbs.command()
@click.argument("number", type=int)
@click.pass_obj
def stop_daemon(root: Path, number: int) -> None:
    """End a host's daemon alone; its guests run on."""
    _existing(root).host(number).stop_daemon()


@verbs.command()
@click.argument("number", type=int)
@click.pass_obj
def start_daemon(root: Path, number: int) -> None:
    """Start a host's daemon again."""
    _existing(root).host(number).start_daemon()


@verbs.command()
@click.argument("one", type=int)
@click.argument("other", type=int)
@click.option("--one-way", is_flag=True, help="only packets from ONE to OTHER")
@click.pass_obj
def cut(root: Path, one: int, other: int, one_way: bool) -> None:
    """Drop every packet between two hosts."""
    _existing(root).cut(one, other, one_way=one_way)


@verbs.command()
@click.pass_obj
def heal(root: Path) -> None:
    """Undo all cuts."""
    _existing(root).heal()


if __name__ == "__main__":
    verbs(prog_name="python -m tests.lab")
