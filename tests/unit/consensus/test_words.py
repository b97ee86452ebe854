"""Comparing words: two honest ends see the same, whoever stands between sees to it that they don't."""

import msgspec
import pytest

from consensus.door import WORDS_DOOR, DoorClosed
from consensus.naming import node_id_of
from consensus.words import ClusterName, Counter, Member, Newcomer, Offer, Reveal, is_offer
from tests.unit.consensus.test_door import ANN, BOB, EVE, Party

TOWN = ClusterName("c" * 32, "town")


def newcomer(party: Party, member_key: bytes) -> Newcomer:
    return Newcomer(party.public_key, party.sign, member_key)


def test_both_ends_show_the_same_words_and_know_each_other() -> None:
    ann, bob = newcomer(ANN, BOB.public_key), Member(TOWN, BOB.public_key)
    reveal, outside, name = ann.reveal(bob.counter(ann.offer()))
    inside = bob.open(reveal)
    assert outside.words == inside.words
    assert len(outside.words.split("-")) == 2
    assert (outside.door, inside.door) == (WORDS_DOOR, WORDS_DOOR)
    assert (outside.peer, inside.peer) == (node_id_of(BOB.public_key), node_id_of(ANN.public_key))
    assert name == TOWN
    assert inside.open(outside.seal(b"let me in")) == b"let me in"
    assert outside.open(inside.seal(b"wait")) == b"wait"


def test_each_run_has_words_of_its_own() -> None:
    said = set()
    for _ in range(20):
        ann, bob = newcomer(ANN, BOB.public_key), Member(TOWN, BOB.public_key)
        said.add(bob.open(ann.reveal(bob.counter(ann.offer()))[0]).words)
    assert len(said) == 20


def test_a_man_in_the_middle_shows_other_words_to_each_side() -> None:
    # Ann's TLS connection ends at Eve, who talks to Bob in a run of her own, under her own name.
    ann, eve_inside = newcomer(ANN, EVE.public_key), Member(TOWN, EVE.public_key)
    _, outside, _ = ann.reveal(eve_inside.counter(ann.offer()))
    eve_outside, bob = newcomer(EVE, BOB.public_key), Member(TOWN, BOB.public_key)
    inside = bob.open(eve_outside.reveal(bob.counter(eve_outside.offer()))[0])
    assert outside.words != inside.words


def test_who_passes_everything_on_is_noticed() -> None:
    # Eve ends Ann's TLS and hands the messages to Bob unchanged: Ann signed a run with Eve's key, not with Bob's.
    ann, bob = newcomer(ANN, EVE.public_key), Member(TOWN, BOB.public_key)
    reveal, _, _ = ann.reveal(bob.counter(ann.offer()))
    with pytest.raises(DoorClosed, match="does not hold the key"):
        bob.open(reveal)


def test_nobody_can_choose_the_words_after_seeing_the_other_nonce() -> None:
    eve, bob = newcomer(EVE, BOB.public_key), Member(TOWN, BOB.public_key)
    reveal = msgspec.msgpack.decode(eve.reveal(bob.counter(eve.offer()))[0], type=Reveal)
    for change in ({"nonce": bytes(32)}, {"share": bytes(31) + b"\x09"}):
        with pytest.raises(DoorClosed, match="committed"):
            bob.open(msgspec.msgpack.encode(msgspec.structs.replace(reveal, **change)))


def test_a_changed_offer_or_counter_opens_nothing() -> None:
    ann, bob = newcomer(ANN, BOB.public_key), Member(TOWN, BOB.public_key)
    offer = msgspec.msgpack.decode(ann.offer(), type=Offer)
    swapped = msgspec.msgpack.encode(Offer(EVE.public_key, offer.commitment))
    reveal, _, _ = ann.reveal(bob.counter(swapped))
    with pytest.raises(DoorClosed):
        bob.open(reveal)
    ann, bob = newcomer(ANN, BOB.public_key), Member(TOWN, BOB.public_key)
    counter = msgspec.msgpack.decode(bob.counter(ann.offer()), type=Counter)
    renamed = msgspec.msgpack.encode(msgspec.structs.replace(counter, cluster_name="city"))
    with pytest.raises(DoorClosed):
        bob.open(ann.reveal(renamed)[0])


def test_a_share_that_is_none_and_noise_close_the_door() -> None:
    ann, bob = newcomer(ANN, BOB.public_key), Member(TOWN, BOB.public_key)
    counter = msgspec.msgpack.decode(bob.counter(ann.offer()), type=Counter)
    for share in (bytes(32), b"short"):
        with pytest.raises(DoorClosed):
            ann.reveal(msgspec.msgpack.encode(msgspec.structs.replace(counter, share=share)))
    for noise in (b"", b"\x00", b"GET / HTTP/1.1", bytes(500)):
        assert not is_offer(noise)
        with pytest.raises(DoorClosed):
            Member(TOWN, BOB.public_key).counter(noise)
        with pytest.raises(DoorClosed):
            newcomer(ANN, BOB.public_key).reveal(noise)


def test_a_node_does_not_open_to_itself() -> None:
    with pytest.raises(DoorClosed):
        Member(TOWN, ANN.public_key).counter(newcomer(ANN, ANN.public_key).offer())
