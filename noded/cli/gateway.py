"""What can be asked and told of the front door: `noded gateway <verb>`."""

from typing import Any

import click
import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from noded.cli.asking import as_json, ask, plainly, print_answer
from noded.config import Config


@click.group()
def gateway() -> None:
    """The front door of all nodes: how fast a user may ask, and pages of which sites may call the APIs."""


@gateway.command("show")
@as_json
@click.pass_obj
@plainly
def gateway_show(config: Config, as_json: bool) -> None:
    """Show the rules."""
    answer = ask(config.run, "gateway_rules.show")
    print_answer(answer, as_json, lambda: rules(msgspec.msgpack.decode(answer)))


@gateway.command("set")
@click.option("--requests-s", type=int, help="What one user may ask a second at each node; 0: as much as they like.")
@click.option("--burst", type=int, help="What one user may ask at once before that; 0: ten seconds' worth.")
@click.option("--origin", "origins", multiple=True, help="A site whose pages may call the APIs, https://name; or *.")
@click.option("--no-origins", is_flag=True, help="Pages of no other site.")
@as_json
@click.pass_obj
@plainly
def gateway_set(
    config: Config, requests_s: int | None, burst: int | None, origins: tuple[str, ...], no_origins: bool, as_json: bool
) -> None:
    """Set rules; what is not named stays as it is."""
    change = {"requests_s": requests_s, "burst": burst, "origins": origins or (() if no_origins else None)}
    told = {name: value for name, value in change.items() if value is not None}
    if not told:
        raise click.UsageError("Say what to set.")
    answer = ask(config.run, "gateway_rules.set", msgspec.msgpack.encode(told))
    print_answer(answer, as_json, lambda: rules(msgspec.msgpack.decode(answer)))


def rules(found: dict[str, Any]) -> RenderableType:
    """The rules in words."""
    rate, burst = found["requests_s"], found["burst"]
    fast = f"{rate} requests a second, {burst or 10 * rate} at once" if rate else "as many requests as they like"
    return Group(
        Text(f"each user, at each node: {fast}"),
        Text(f"pages that may call: {', '.join(found['origins']) or 'none of other sites'}"),
    )
