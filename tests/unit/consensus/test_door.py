"""The door's handshake: only who knows the secret gets through, and nobody between two nodes is left unnoticed."""

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from consensus.authority import load_key, new_private_key, public_key_of
from consensus.door import Answer, Answerer, Channel, Dialer, DoorClosed, Hello, Seed
from consensus.naming import node_id_of

SEED = Seed(cluster="town", secret="correct horse battery", expect=3)


class Party:
    """A node's key."""

    def __init__(self) -> None:
        self.key_pem = new_private_key()
        self.public_key = public_key_of(self.key_pem)

    def sign(self, message: bytes) -> bytes:
        return load_key(self.key_pem).sign(message, ec.ECDSA(hashes.SHA256()))

    def dialer(self, answerer_key: bytes, seed: Seed = SEED) -> Dialer:
        return Dialer(seed.key, self.public_key, self.sign, answerer_key)

    def answerer(self, seed: Seed = SEED) -> Answerer:
        return Answerer(lambda door: seed.key if door == seed.key.door else None, self.public_key)


ANN, BOB, EVE = Party(), Party(), Party()


def shake(dialer: Dialer, answerer: Answerer) -> tuple[Channel, Channel]:
    proof = dialer.prove(answerer.answer(dialer.hello()))
    confirmed, inside = answerer.confirm(proof)
    return dialer.confirm(confirmed), inside


def test_two_nodes_with_the_secret_know_each_other_afterwards() -> None:
    outside, inside = shake(ANN.dialer(BOB.public_key), BOB.answerer())
    assert outside.peer == node_id_of(BOB.public_key)
    assert inside.peer == node_id_of(ANN.public_key)
    assert inside.open(outside.seal(b"may I come in?")) == b"may I come in?"
    assert outside.open(inside.seal(b"yes")) == b"yes"


@pytest.mark.parametrize(
    "other",
    [
        Seed(cluster="town", secret="wrong horse battery!!", expect=3),
        Seed(cluster="another town", secret=SEED.secret, expect=3),
    ],
    ids=["another secret", "another cluster's name"],
)
def test_a_dialer_without_the_right_seed_is_not_confirmed(other: Seed) -> None:
    dialer, answerer = EVE.dialer(BOB.public_key, other), BOB.answerer()
    proof = dialer.prove(answerer.answer(dialer.hello()))
    with pytest.raises(DoorClosed):
        answerer.confirm(proof)


def test_an_answerer_without_the_secret_cannot_confirm() -> None:
    dialer, eve = ANN.dialer(EVE.public_key), EVE.answerer(Seed(cluster="town", secret="x" * 16, expect=3))
    proof = dialer.prove(eve.answer(dialer.hello()))
    with pytest.raises(DoorClosed):
        eve.confirm(proof)
    with pytest.raises(DoorClosed):
        dialer.confirm(b"\x92\xa9confirmed\xc4\x20" + bytes(32))


def test_a_man_in_the_middle_who_passes_everything_on_is_noticed() -> None:
    # Ann's TLS connection ends at Eve, who shows her own key and passes the handshake on to Bob.
    dialer, answerer = ANN.dialer(EVE.public_key), BOB.answerer()
    proof = dialer.prove(answerer.answer(dialer.hello()))
    with pytest.raises(DoorClosed):
        answerer.confirm(proof)


def test_a_man_in_the_middle_who_puts_his_key_in_the_hello_is_noticed() -> None:
    dialer, answerer = ANN.dialer(BOB.public_key), BOB.answerer()
    hello = msgspec.msgpack.decode(dialer.hello(), type=Hello)
    swapped = msgspec.msgpack.encode(Hello(EVE.public_key, hello.share))
    proof = dialer.prove(answerer.answer(swapped))
    with pytest.raises(DoorClosed):
        answerer.confirm(proof)


def test_knowing_the_secret_is_not_enough_to_pass_for_another_node() -> None:
    thief = Dialer(SEED.key, ANN.public_key, EVE.sign, BOB.public_key)
    answerer = BOB.answerer()
    proof = thief.prove(answerer.answer(thief.hello()))
    with pytest.raises(DoorClosed, match="does not hold the key"):
        answerer.confirm(proof)


def test_a_recorded_run_opens_nothing_a_second_time() -> None:
    dialer, answerer = ANN.dialer(BOB.public_key), BOB.answerer()
    hello = dialer.hello()
    proof = dialer.prove(answerer.answer(hello))
    answerer.confirm(proof)
    again = BOB.answerer()
    again.answer(hello)
    with pytest.raises(DoorClosed):
        again.confirm(proof)


def test_a_share_sent_back_to_its_sender_or_off_the_curve_is_refused() -> None:
    for alter in (
        lambda share: share,
        lambda share: b"B" + share[1:],
        lambda share: share[:-1],
        lambda share: b"B" + bytes(32),
        lambda share: b"B" + b"\xff" * 32,
        lambda share: b"B\x01" + bytes(31),
    ):
        dialer = ANN.dialer(BOB.public_key)
        share = msgspec.msgpack.decode(dialer.hello(), type=Hello).share
        with pytest.raises(DoorClosed):
            dialer.prove(msgspec.msgpack.encode(Answer(alter(share))))


def test_a_node_does_not_open_to_itself() -> None:
    with pytest.raises(DoorClosed):
        ANN.answerer().answer(ANN.dialer(ANN.public_key).hello())


@pytest.mark.parametrize("noise", [b"", b"\x00", b"GET / HTTP/1.1\r\n", b"\x93\xa5hello\xc4\x00\xc4\x00", bytes(1000)])
def test_noise_closes_the_door(noise: bytes) -> None:
    with pytest.raises(DoorClosed):
        BOB.answerer().answer(noise)
    with pytest.raises(DoorClosed):
        ANN.dialer(BOB.public_key).prove(noise)


def test_messages_cannot_be_changed_repeated_reordered_or_turned_back() -> None:
    outside, inside = shake(ANN.dialer(BOB.public_key), BOB.answerer())
    first, second = outside.seal(b"first"), outside.seal(b"second")
    with pytest.raises(DoorClosed):
        inside.open(second)
    outside, inside = shake(ANN.dialer(BOB.public_key), BOB.answerer())
    with pytest.raises(DoorClosed):
        inside.open(first)
    outside, inside = shake(ANN.dialer(BOB.public_key), BOB.answerer())
    sealed = outside.seal(b"once")
    assert inside.open(sealed) == b"once"
    with pytest.raises(DoorClosed):
        inside.open(sealed)
    outside, inside = shake(ANN.dialer(BOB.public_key), BOB.answerer())
    with pytest.raises(DoorClosed):
        outside.open(outside.seal(b"to myself"))


@pytest.mark.parametrize(
    ("cluster", "secret", "expect"),
    [("", "x" * 16, 1), ("c" * 65, "x" * 16, 1), ("c", "x" * 15, 1), ("c", "x" * 16, 0)],
)
def test_a_seed_that_cannot_be_right_is_refused(cluster: str, secret: str, expect: int) -> None:
    with pytest.raises(ValueError, match=r"cluster|expect"):
        Seed(cluster=cluster, secret=secret, expect=expect)


def test_a_seed_does_not_print_its_secret() -> None:
    assert SEED.secret not in repr(SEED)
