"""How does a verb ask the daemon, and how does it tell the answer? Shared by every noun's module."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import click
import msgspec
from rich.console import Console

from consensus.calls import Unreachable
from noded.cli.host.local import ask, read_note, take_note_away
from noded.core.errors import Refused

__all__ = ["NO_DAEMON", "REFUSED", "USAGE", "as_json", "ask", "plainly", "print_answer", "read_note", "take_note_away"]

REFUSED, USAGE, NO_DAEMON = 1, 2, 3
PIPE_CHARS = 1000

P = ParamSpec("P")

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def plainly(command: Callable[P, None]) -> Callable[P, None]:
    """Tell a refusal in one sentence and by its exit code."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except Unreachable as fault:
            click.echo(f"noded: {fault.message} Is the daemon running?", err=True)
            sys.exit(NO_DAEMON)
        except Refused as refused:
            click.echo(f"noded: {refused.message}", err=True)
            sys.exit(REFUSED)
        except (UnicodeError, OverflowError):  # what was typed, or stands in a file, can't even be asked
            click.echo("noded: Something in what was given is no UTF-8, or a number too large to be one.", err=True)
            sys.exit(USAGE)

    return run


def print_answer(answer: bytes, as_json: bool, table: Callable[[], object]) -> None:
    """A MessagePack answer as JSON, or as the table that `table` makes of it."""
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(msgspec.msgpack.decode(answer))))
    else:
        # For a pipe a line is as long as it must be: who greps in it wants whole names, and no folds.
        Console(width=None if sys.stdout.isatty() else PIPE_CHARS).print(table())
