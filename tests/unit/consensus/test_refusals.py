"""Who was turned away is counted in bounded memory, and told in the log once a minute."""

from consensus.entering import FAULTS_MAX, Faults, plain_code, shown_code
from consensus.refusals import LINES_MAX, LOGGED_AGAIN_MS, RefusalKind, RefusalLines


def test_one_line_an_address_kind_and_port() -> None:
    lines = RefusalLines()
    for at_ms in (1000, 2000, 3000):
        lines.note(RefusalKind.NO_TLS, 7400, "10.0.0.9", at_ms, "left")
    lines.note(RefusalKind.WRONG_SECRET, 7402, "10.0.0.9", 4000, "guess")
    newest, older = lines.lines()
    assert (newest.kind, newest.count, newest.detail) == (RefusalKind.WRONG_SECRET, 1, "guess")
    assert (older.count, older.first_at_ms, older.last_at_ms) == (3, 1000, 3000)
    assert lines.total() == 4


def test_a_flood_from_everywhere_is_summed_up_and_loses_no_count() -> None:
    lines = RefusalLines()
    for number in range(5 * LINES_MAX):
        lines.note(RefusalKind.NO_TLS, 443, f"10.{number // 256}.{number % 256}.1", number)
    assert len(lines.lines()) == LINES_MAX + 1
    assert lines.total() == 5 * LINES_MAX
    assert max(line.count for line in lines.lines() if line.address == "elsewhere") == 4 * LINES_MAX


def test_the_log_gets_one_line_a_minute_for_each_port_and_kind() -> None:
    lines = RefusalLines()
    due = [lines.note(RefusalKind.NO_TLS, 443, f"10.0.0.{number}", number) for number in range(100)]
    assert due == [True] + [False] * 99
    assert lines.note(RefusalKind.NO_TLS, 7400, "10.0.0.1", 100)
    assert lines.note(RefusalKind.NO_TLS, 443, "10.0.0.1", LOGGED_AGAIN_MS)


def test_details_are_cut() -> None:
    lines = RefusalLines()
    lines.note(RefusalKind.NO_PROTOCOL, 7402, "10.0.0.1", 1, "x" * 10_000)
    assert len(lines.lines()[0].detail) == 200


def test_the_last_faults_are_kept_and_repeated_ones_counted() -> None:
    faults = Faults()
    assert faults.note("token", "10.0.0.1", "expired", 1)
    assert not faults.note("token", "10.0.0.1", "expired", 2)
    for number in range(2 * FAULTS_MAX):
        faults.note("hands-off", f"n{number}", "wrong secret", 10 + number)
    assert len(faults.newest()) == FAULTS_MAX
    assert faults.newest()[0].by == f"n{2 * FAULTS_MAX - 1}"


def test_a_claim_code_may_be_typed_as_people_type() -> None:
    assert shown_code("ABCDE23456") == "ABCDE-23456"
    assert plain_code(" abcde 23456 ") == plain_code("ABCDE-23456") == "ABCDE23456"
