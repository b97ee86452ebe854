"""What can be asked of the past: `noded history`, `noded history verify`, `noded diff`."""

import sys

import click
import msgspec

from consensus.history.model import (
    LINES_DEFAULT,
    LINES_MAX,
    Difference,
    DiffQuestion,
    HistoryPage,
    Question,
    Verdict,
    VerifyCall,
)
from consensus.history.moments import moment_ms
from noded.cli import show_history as show
from noded.cli.asking import REFUSED, as_json, ask, plainly, print_answer
from noded.config import Config
from noded.core.clock import now_ms

_WHEN = "2026-11-28, 2026-11-28T05:30 (UTC), or how long ago: 30m, 2h, 7d."


@click.group(invoke_without_command=True)
@click.option("--object", "object_", default="", metavar="ID", help="Only what concerns this id or name.")
@click.option("--since", default="", metavar="TIME", help=f"Nothing older. {_WHEN}")
@click.option("--until", default="", metavar="TIME", help="Nothing newer.")
@click.option("--user", default="", metavar="WHO", help="Only what this user, node or console did: a name or id.")
@click.option("--before", type=click.IntRange(min=1), metavar="REV", help="Only what is older: the next page.")
@click.option("--limit", type=click.IntRange(1, LINES_MAX), default=LINES_DEFAULT, show_default=True)
@as_json
@click.pass_context
def history(  # one parameter an option
    context: click.Context,
    object_: str,
    since: str,
    until: str,
    user: str,
    before: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show who changed what, when, from where, and what came of it; newest first."""
    if context.invoked_subcommand is None:
        _history(context.obj, (object_, user), (since, until), before, limit, as_json)


@plainly
def _history(
    config: Config, about: tuple[str, str], when: tuple[str, str], before: int | None, limit: int, as_json: bool
) -> None:
    (object_, user), (since, until) = about, when
    now = now_ms()
    question = Question(
        object=object_,
        user=user,
        since_ms=moment_ms(since, now) if since else None,
        until_ms=moment_ms(until, now) if until else None,
        before=before,
        limit=limit,
    )
    answer = ask(config.run, "history.list", msgspec.msgpack.encode(question))
    print_answer(answer, as_json, lambda: show.page(msgspec.msgpack.decode(answer, type=HistoryPage)))


@history.command("verify")
@click.option("--expect", default="", metavar="REV:HASH", help="A head that was noted elsewhere: is it still the same?")
@as_json
@click.pass_obj
@plainly
def history_verify(config: Config, expect: str, as_json: bool) -> None:
    """Check that this node's history is as it was written, and the same as on the other nodes.

    Ends with 1 if a line was altered, removed or inserted, if lines are missing, or if REV:HASH is altered or unknown.
    """
    answer = ask(config.run, "history.verify", msgspec.msgpack.encode(VerifyCall(expect=expect)))
    verdict = msgspec.msgpack.decode(answer, type=Verdict)
    whole = {**msgspec.to_builtins(verdict), "whole": verdict.is_whole}
    print_answer(msgspec.msgpack.encode(whole), as_json, lambda: show.verdict(verdict))
    if not verdict.is_whole:
        sys.exit(REFUSED)


@click.command()
@click.option("--from", "older", type=click.IntRange(min=0), required=True, metavar="REV", help="The older revision.")
@click.option("--to", "newer", type=click.IntRange(min=0), metavar="REV", help="The newer one; now, if left out.")
@click.option("--object", "object_", default="", metavar="ID", help="Only this record: an id or name.")
@as_json
@click.pass_obj
@plainly
def diff(config: Config, older: int, newer: int | None, object_: str, as_json: bool) -> None:
    """Show what changed in the store between two revisions: records added and removed, fields old and new."""
    question = DiffQuestion(from_revision=older, to_revision=-1 if newer is None else newer, object=object_)
    answer = ask(config.run, "history.diff", msgspec.msgpack.encode(question))
    print_answer(answer, as_json, lambda: show.difference(msgspec.msgpack.decode(answer, type=Difference)))
