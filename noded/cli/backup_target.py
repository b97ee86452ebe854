"""Where backups of volumes go: `noded backup-target <verb>`."""

import sys
from pathlib import Path

import click
import msgspec
from rich.table import Table

from noded.cli.asking import as_json, ask, plainly, print_answer
from noded.config import Config
from noded.core.errors import Invalid
from storage.backups.authority import TargetForm

TRY_S_MAX = 120.0


@click.group("backup-target")
def backup_target() -> None:
    """The places where backups of volumes are kept. Without any they are kept in the pool."""


@backup_target.command("list")
@as_json
@click.pass_obj
@plainly
def list_targets(config: Config, as_json: bool) -> None:
    """Show every place, and which one new backups go to."""
    _print(ask(config.run, "backup_target.list"), as_json)


@backup_target.command("add")
@click.argument("name")
@click.option("--path", default="", help="A directory of this node.")
@click.option("--shared", is_flag=True, help="The directory is the same mount (NFS) on every node.")
@click.option("--url", default="", help="An object store that speaks S3: https://host[:port].")
@click.option("--bucket", default="", help="A bucket there, which must exist.")
@click.option("--region", default="", help="Its region; us-east-1 where none is given.")
@click.option("--access-key", default="", help="The public half of the key pair.")
@click.option("--secret-key-file", type=click.Path(path_type=Path), help="Holds the secret half; - for standard input.")
@click.option("--seal-key-file", type=click.Path(path_type=Path),
              help="Holds 64 hex digits: what is written there is sealed with this key.")  # fmt: skip
@click.option("--default", is_flag=True, help="New backups go there.")
@as_json
@click.pass_obj
@plainly
def add_target(
    config: Config, name: str, path: str, shared: bool, url: str, bucket: str, region: str, access_key: str,
    secret_key_file: Path | None, seal_key_file: Path | None, default: bool, as_json: bool,
) -> None:  # fmt: skip
    """Try a place, and add it: a directory, or a bucket of an object store."""
    form = TargetForm(
        name=name,
        path=path,
        shared=shared,
        url=url,
        bucket=bucket,
        region=region,
        access_key=access_key,
        secret_key=_first_line(secret_key_file),
        seal_key=_first_line(seal_key_file),
        default=default,
    )
    _print(ask(config.run, "backup_target.add", msgspec.msgpack.encode(form), TRY_S_MAX), as_json)


@backup_target.command("choose")
@click.argument("name")
@as_json
@click.pass_obj
@plainly
def choose_target(config: Config, name: str, as_json: bool) -> None:
    """New backups go to NAME from now on; `pool` is the pool itself."""
    _print(ask(config.run, "backup_target.choose", msgspec.msgpack.encode(TargetForm(name=name))), as_json)


@backup_target.command("forget")
@click.argument("name")
@as_json
@click.pass_obj
@plainly
def forget_target(config: Config, name: str, as_json: bool) -> None:
    """NAME is no target any more; refused while backups are there."""
    _print(ask(config.run, "backup_target.forget", msgspec.msgpack.encode(TargetForm(name=name))), as_json)


def _print(answer: bytes, as_json: bool) -> None:
    print_answer(answer, as_json, lambda: _table(msgspec.msgpack.decode(answer, type=list[dict[str, object]])))


def _table(lines: list[dict[str, object]]) -> Table:
    table = Table("name", "kind", "where", "node", "sealed", "backups", "new ones")
    for line in lines:
        table.add_row(
            str(line["name"]),
            str(line["kind"]),
            str(line["where"]),
            str(line["node"] or "all"),
            "yes" if line["sealed"] else "no",
            str(line["backups"]),
            "here" if line["default"] else "",
        )
    return table


def _first_line(file: Path | None) -> str:
    if file is None:
        return ""
    if str(file) == "-":
        return sys.stdin.readline().strip()
    try:
        return file.read_text().partition("\n")[0].strip()
    except OSError as fault:
        raise Invalid(f"{file} can't be read: {fault.strerror}.") from fault
