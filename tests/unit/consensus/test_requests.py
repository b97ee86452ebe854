"""A request acts once, however often and however late it is proposed again."""

from consensus.host.applying import Applier
from consensus.host.requests import WINDOW, Requests, encode_ids, seal, unseal
from tests.logs import Ledger


def admits(requests: Requests, index: int, request_id: bytes, base: int) -> bool:
    envelope = unseal(seal(request_id, base, b""))
    assert envelope is not None
    return requests.admit(index, envelope)


def test_a_repetition_is_not_admitted() -> None:
    requests = Requests()
    assert admits(requests, 10, b"a", base=5)
    assert not admits(requests, 11, b"a", base=5)
    assert admits(requests, 12, b"b", base=5)


def test_a_retry_that_is_too_late_to_be_known_is_not_admitted() -> None:
    requests = Requests()
    assert admits(requests, 10, b"a", base=9)
    for index in range(11, 11 + WINDOW):
        admits(requests, index, b"%d" % index, base=index - 1)
    assert b"a" not in requests
    assert not admits(requests, 11 + WINDOW, b"a", base=9)
    assert len(requests) <= WINDOW


def test_a_restored_table_decides_alike() -> None:
    requests, restored = Requests(), Requests()
    for index in range(3, 12_000):
        admits(requests, index, b"%d" % index, base=index - 1)
    restored.replace(list(encode_ids(requests.capture())))
    assert restored.capture() == requests.capture()
    assert not admits(restored, 12_000, b"11999", base=11_998)


def test_only_what_acts_reaches_the_state_machine() -> None:
    ledger = Ledger()
    applier = Applier(ledger)
    assert applier.apply(5, seal(b"request 0001", 4, b"one")) == 1
    assert applier.apply(6, seal(b"request 0001", 4, b"one")) is None
    assert applier.apply(7, b"not an envelope") is None
    assert applier.apply(8, seal(b"request 0002", 4, b"two")) == 2
    assert ledger.entries == [(5, b"one"), (8, b"two")]


def test_the_first_application_answers_the_proposer() -> None:
    applier = Applier(Ledger())
    with applier.waiting(b"request 0001") as waiter:
        applier.apply(5, seal(b"request 0001", 4, b"one"))
        applier.apply(6, seal(b"request 0001", 4, b"one"))
        assert (waiter.is_applied, waiter.is_lost, waiter.result) == (True, False, 1)


def test_a_request_inside_a_checkpoint_is_applied_with_a_result_unknown_here() -> None:
    elsewhere = Applier(Ledger())
    elsewhere.apply(5, seal(b"request 0001", 4, b"one"))
    applier = Applier(Ledger())
    with applier.waiting(b"request 0001") as waiter, applier.waiting(b"request 0002") as other:
        applier.restored(list(encode_ids(elsewhere.requests.capture())))
        assert waiter.is_lost
        assert not other.is_settled
        assert applier.apply(6, seal(b"request 0001", 4, b"one")) is None
