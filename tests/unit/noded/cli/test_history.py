"""How the past looks in a terminal: lines, gaps, differences and verdicts; names of users' making are never markup."""

import json
from pathlib import Path

import msgspec
import pytest

from consensus.history.model import (
    Comparison,
    Difference,
    DiffQuestion,
    HistoryGap,
    HistoryLine,
    HistoryPage,
    Object,
    Problem,
    Question,
    RecordDifference,
    Verdict,
    VerifyCall,
)
from noded.cli.asking import REFUSED, USAGE
from noded.core.errors import NotFound
from tests.unit.noded.cli.test_main import config, run, told

__all__ = ["config"]

LINE = HistoryLine(
    revision=7,
    at="2026-01-02T03:04:05Z",
    at_ms=1,
    who="user:u1",
    name="a[/]b",
    address="10.0.0.9",
    request_id="req-1",
    project_id="p1",
    told=("created the server [red]web[/red]",),
    tags=("server.create.1",),
    objects=(Object(noun="server", id="s1", name="web"),),
    outcome="refused",
    reason="No [/] room.",
    hash="ab" * 32,
)
CONSOLE = msgspec.structs.replace(
    LINE, revision=3, who="console:n1", name="root", address="", outcome="applied", reason=""
)
PAGE = HistoryPage(lines=(LINE, HistoryGap(after=3, until=6), CONSOLE), kept_after=2, head=f"7:{'ab' * 32}", older=None)
WHOLE = Verdict(node_id="n1", kept_after=0, lines=9, head=f"9:{'cd' * 32}", gaps=(), problems=())


def test_history_says_who_what_and_what_came_of_it(config: Path) -> None:
    result, call = told(config, PAGE, "history", "--object", "web", "--user", "ann", "--limit", "5", "--before", "9")
    assert result.exit_code == 0, result.output
    flat = " ".join(result.output.split())
    for words in ("a[/]b", "10.0.0.9", "[red]web[/red]", "refused: No [/]", "console root", "2026-01-02 03:04:05"):
        assert words in flat or words.replace(" ", "") in "".join(result.output.split())
    assert "after revision 3, up to 6" in flat
    asked = msgspec.msgpack.decode(call.payload, type=Question)
    assert (asked.object, asked.user, asked.limit, asked.before, asked.since_ms) == ("web", "ann", 5, 9, None)


def test_history_as_json_is_what_the_daemon_said(config: Path) -> None:
    result, call = told(config, PAGE, "history", "--since", "1970-01-02", "--json")
    assert json.loads(result.output)["lines"][0]["name"] == "a[/]b"
    assert json.loads(result.output)["lines"][1] == {"kind": "gap", "after": 3, "until": 6}
    assert msgspec.msgpack.decode(call.payload, type=Question).since_ms == 86_400_000


def test_a_time_that_is_none_is_refused_before_anybody_is_asked(config: Path) -> None:
    result = run(config, "history", "--since", "yesterday")
    assert (result.exit_code, "is no time" in result.output) == (REFUSED, True)
    assert run(config, "history", "--limit", "0").exit_code == USAGE
    assert run(config, "diff").exit_code == USAGE


def test_a_whole_history_ends_with_success(config: Path) -> None:
    verdict = msgspec.structs.replace(WHOLE, nodes=(Comparison(node_id="n2", name="two", answered=True, compared=9),))
    result, call = told(config, verdict, "history", "verify", "--expect", "9:cd")
    assert result.exit_code == 0, result.output
    assert "node two agrees" in result.output
    assert "each follows the one before" in result.output
    assert msgspec.msgpack.decode(call.payload, type=VerifyCall).expect == "9:cd"


BAD = {
    "altered": (msgspec.structs.replace(WHOLE, problems=(Problem(revision=5, what="altered"),)), "revision 5: altered"),
    "missing": (msgspec.structs.replace(WHOLE, gaps=(HistoryGap(after=2, until=4),)), "after revision 2, up to 4"),
    "other": (
        msgspec.structs.replace(
            WHOLE, nodes=(Comparison(node_id="n2", name="two", answered=True, differs_from=6),)
        ),
        "node two has another line at revision 6",
    ),
    "noted": (msgspec.structs.replace(WHOLE, expected="altered"), "history was altered"),
    "unknown": (msgspec.structs.replace(WHOLE, expected="unknown"), "is not known here"),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(BAD))
def test_what_is_not_whole_is_said_and_ends_with_one(config: Path, case: str) -> None:
    verdict, words = BAD[case]
    result, _ = told(config, verdict, "history", "verify")
    assert (result.exit_code, words in result.output) == (REFUSED, True), result.output


def test_a_verdict_as_json_ends_with_one_too(config: Path) -> None:
    result, _ = told(config, BAD["altered"][0], "history", "verify", "--json")
    assert (result.exit_code, json.loads(result.output)["whole"]) == (REFUSED, False)


def test_a_difference_shows_old_and_new(config: Path) -> None:
    records = (
        RecordDifference(noun="server", id="s1", name="[/]", change="changed", fields={"power": ("on", "off")}),
        RecordDifference(noun="volume", id="v1", name="", change="removed", fields={"name": ("x", None)}),
        RecordDifference(noun="image", id="i1", name="", change="changed", fields={}),
    )
    found = Difference(from_revision=3, to_revision=9, records=records, left_out=4)
    result, call = told(config, found, "diff", "--from", "3")
    assert result.exit_code == 0, result.output
    for words in ("~ server [/] s1", "power: on → off", "- volume v1", "too large", "and 4 more records"):
        assert words in result.output
    assert msgspec.msgpack.decode(call.payload, type=DiffQuestion) == DiffQuestion(from_revision=3, to_revision=-1)


def test_a_revision_that_is_not_kept_is_said_in_one_sentence(config: Path) -> None:
    result, _ = told(config, NotFound("Revision 3 is not kept any more."), "diff", "--from", "3", "--to", "5")
    assert (result.exit_code, "not kept any more" in result.output) == (REFUSED, True)
