"""What counts as found: what lasts, what is late, whose clock is off."""

import io

from rich.console import Console

from noded.cli.doctor import examination_text
from noded.core.finding import Finding
from noded.core.ids import NodeId, Revision
from noded.doctor.model import Examination, FirstSeen, clocks_apart, lasting
from noded.doctor.views import of_digests
from noded.inspection.model import StoreDigest


def finding(subject: str, patience_s: float = 0.0) -> Finding:
    return Finding(kind="k", subject=subject, what="w", why="y", mend="m", patience_s=patience_s)


def test_what_is_there_at_one_look_alone_was_on_its_way() -> None:
    assert lasting([finding("a"), finding("b")], [finding("b"), finding("c")]) == (finding("b"),)


def test_what_may_take_a_while_counts_once_it_has_taken_longer() -> None:
    first_seen, slow = FirstSeen(), finding("slow", patience_s=60.0)
    first_seen.note([slow], 100.0)
    assert not first_seen.counts(slow, 159.0)
    assert first_seen.counts(slow, 160.0)
    assert first_seen.counts(finding("at once"), 100.0)


def test_what_went_on_and_stands_again_begins_anew() -> None:
    first_seen, slow = FirstSeen(), finding("slow", patience_s=60.0)
    first_seen.note([slow], 0.0)
    first_seen.note([], 50.0)
    first_seen.note([slow], 59.0)
    assert not first_seen.counts(slow, 100.0)


def test_a_clock_is_off_only_if_no_delay_of_the_answer_explains_it() -> None:
    said = {"fine": 14_000, "slow answer": 10_500, "ahead": 17_001, "behind": 7_999}
    assert clocks_apart(10_000, 15_000, said, 2_000) == {"ahead": 2_001, "behind": -2_001}


def test_records_differ_only_where_the_same_log_was_applied() -> None:
    one, other = StoreDigest(revision=Revision(7), digest="x"), StoreDigest(revision=Revision(8), digest="y")
    assert of_digests({"a": one, "b": other, "c": one}) == []
    [found] = of_digests({"a": one, "b": StoreDigest(revision=Revision(7), digest="z"), "c": other})
    assert (found.kind, found.subject) == ("records differ", "7")


def test_the_text_says_what_why_and_how_to_mend_it() -> None:
    examined = Examination(
        answered_by=NodeId("n1"), revision=Revision(5), nodes=("a", "b"), looks=2, findings=(finding("x"),)
    )
    page = io.StringIO()
    Console(width=200, file=page).print(examination_text(examined))
    said = page.getvalue()
    assert "! k: w" in said
    assert "why:  y" in said
    assert "mend: m" in said
    assert "1 thing does not match. 2 nodes looked at (a, b), revision 5." in said
