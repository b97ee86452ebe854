"""What can be asked and told of policy: `noded policy <verb>`."""

import sys
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from noded.cli.asking import REFUSED, as_json, ask, plainly, print_answer
from noded.config import Config
from noded.core.errors import Invalid


@click.group()
def policy() -> None:
    """Who may do what: a rule for every action, in oslo.policy's language; and why somebody may or may not."""


@policy.command("list")
@click.option("--own", is_flag=True, help="Only what was set here.")
@click.option("--file", "as_file", is_flag=True, help="Print a policy.yaml, to be changed and given to `set --file`.")
@as_json
@click.pass_obj
@plainly
def policy_list(config: Config, own: bool, as_file: bool, as_json: bool) -> None:
    """List every action with its rule and the routes that it is asked for."""
    if as_file:
        click.echo(msgspec.msgpack.decode(ask(config.run, "policy.file"))["file"], nl=False)
        return
    answer = ask(config.run, "policy.list")
    print_answer(answer, as_json, lambda: listing(msgspec.msgpack.decode(answer), own_only=own))


@policy.command("set")
@click.argument("name", required=False)
@click.argument("rule", required=False)
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="A policy.yaml or .json.")
@as_json
@click.pass_obj
@plainly
def policy_set(config: Config, name: str | None, rule: str | None, file: Path | None, as_json: bool) -> None:
    """Set the RULE of NAME, an action or a name that other rules use; or all rules of a file, all of them or none."""
    if (file is None) == (name is None or rule is None):
        raise click.UsageError("Give a NAME and a RULE, or --file FILE.")
    rules = {name: rule} if file is None else _read(file)
    answer = ask(config.run, "policy.set", msgspec.msgpack.encode({"policy": rules}))
    print_answer(answer, as_json, lambda: listing(msgspec.msgpack.decode(answer), own_only=True))


@policy.command("unset")
@click.argument("names", nargs=-1, required=True)
@as_json
@click.pass_obj
@plainly
def policy_unset(config: Config, names: tuple[str, ...], as_json: bool) -> None:
    """Let the release's own rules hold again for NAMES."""
    answer = ask(config.run, "policy.unset", msgspec.msgpack.encode(names))
    print_answer(answer, as_json, lambda: listing(msgspec.msgpack.decode(answer), own_only=True))


@policy.command("explain")
@click.argument("action")
@click.option("--user", required=True, help="By id or name.")
@click.option("--user-domain", default="default", show_default=True)
@click.option("--project", default="", help="The project that the token is for, by id or name.")
@click.option("--project-domain", default="default", show_default=True)
@click.option("--domain", default="", help="The token is for this domain instead.")
@click.option("--system", is_flag=True, help="The token is for the whole system instead.")
@click.option("--target", "targets", multiple=True, metavar="KEY=VALUE", help="A part of the path: server_id=ID.")
@as_json
@click.pass_obj
@plainly
def policy_explain(config: Config, /, as_json: bool, targets: tuple[str, ...], **asked: Any) -> None:
    """Say whether a user may do ACTION, and why. Exit code 0: they may; 1: they may not."""
    pairs = [each.partition("=") for each in targets]
    if not all(middle for _, middle, _ in pairs):
        raise click.UsageError("A --target is KEY=VALUE.")
    call = {**asked, "target": {key: value for key, _, value in pairs}}
    answer = ask(config.run, "policy.explain", msgspec.msgpack.encode(call))
    found = msgspec.msgpack.decode(answer)
    print_answer(answer, as_json, lambda: reasons(found))
    if not found["allowed"]:
        sys.exit(REFUSED)


def _read(file: Path) -> dict[str, str]:
    try:  # JSON is YAML
        return msgspec.yaml.decode(file.read_bytes(), type=dict[str, str])
    except (msgspec.DecodeError, OSError) as wrong:
        raise Invalid(
            f'{file} holds no rules, such as "compute:servers:create_server": "role:member": {wrong}'
        ) from None


def listing(found: dict[str, Any], *, own_only: bool) -> RenderableType:
    """A line an action."""
    table = Table(box=None, pad_edge=False)
    for column in ("action", "rule", "routes"):
        table.add_column(column, overflow="fold")
    for each in (*found["rules"], *found["actions"]):
        if each["own"] or not own_only:
            rule = Text(each["rule"] or "no token is asked for", "bold" if each["own"] else "")
            table.add_row(Text(each.get("action", each.get("name"))), rule, Text("\n".join(each.get("routes", ()))))
    return table if table.row_count else Text("No rules were set here: the release's own hold.")


def reasons(found: dict[str, Any]) -> RenderableType:
    """The verdict, then how it came about."""
    lines = [Text("allowed" if found["allowed"] else "not allowed", "bold green" if found["allowed"] else "bold red")]
    lines.append(Text(f"  {found['why']}"))
    if found["way_out"]:
        lines.append(Text(f"  {found['way_out']}", "yellow"))
    lines += [Text(f"  action  {found['action']}  ({', '.join(found['routes'])})")]
    lines += [Text(f"  rule    {found['rule']}{'  (set here)' if found['is_own'] else ''}")]
    lines += [Text(f"  role    {role}") for role in found["roles"]] or [Text("  role    none")]
    for step in found["steps"]:
        word, style = ("yes ", "green") if step["holds"] else ("no  ", "red")
        lines.append(Text.assemble("  ", "  " * step["depth"], (word, style), step["check"]))
    return Group(*lines)
