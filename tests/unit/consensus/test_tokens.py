"""Join tokens: one line that is checked before it is used, a right that is used up exactly once, and ends in time."""

import pytest

from consensus.doors import SERVICE as DOORS
from consensus.doors.commands import CreateToken, RevokeToken, UseToken
from consensus.doors.model import KEPT_AFTERWARDS_MS, TOKENS_MAX, JoinToken, TokenState
from consensus.doors.token import PREFIX, Token, read_token, secret_hash, token_text
from consensus.doors.ttl import ttl_ms
from consensus.members import SERVICE as MEMBERS
from consensus.members.commands import AdmitNode, RemoveNode
from consensus.members.model import Node
from noded.core.errors import Conflict, Forbidden, Invalid, NotFound, OverQuota, Refused
from noded.core.ids import NodeId
from tests.twins.cluster import SharedCluster

HOUR_MS = 3_600_000
TOKEN = Token(
    cluster_id="c" * 32,
    cluster_name="town",
    authority_hash=bytes(32),
    addresses=("10.0.0.1", "fd00::1"),
    port=7402,
    token_id="a1b2c3d4e5f6",
    secret=bytes(range(24)),
    expires_at_ms=1_700_000_000_000,
)
IDS = [NodeId(f"{number:032x}") for number in range(1, 5)]


def create(token_id: str = "t1", *, uses: int = 1, at_ms: int = 1000, life_ms: int = HOUR_MS) -> CreateToken:
    return CreateToken(
        token_id=token_id,
        secret_hash=secret_hash(b"s"),
        uses=uses,
        expires_at_ms=at_ms + life_ms,
        addresses=("10.0.0.1",),
        created_by="ann",
        now_ms=at_ms,
    )


def use(number: int = 0, *, at_ms: int = 2000, token_id: str = "t1") -> UseToken:
    return UseToken(token_id=token_id, node_id=IDS[number], now_ms=at_ms)


def admit(number: int = 0, name: str = "") -> AdmitNode:
    return AdmitNode(
        node_id=IDS[number],
        name=name or f"n{number}",
        addresses=("10.0.0.9",),
        fingerprint=(IDS[number] * 2)[:64],
        release="0.1.0",
        now_ms=2000,
    )


@pytest.fixture
def cluster() -> SharedCluster:
    return SharedCluster([MEMBERS, DOORS])


def token_in(cluster: SharedCluster, token_id: str = "t1") -> JoinToken:
    return cluster.machine.picture.need(JoinToken, token_id)


def test_a_token_is_read_back_from_its_line() -> None:
    text = token_text(TOKEN)
    assert text.startswith(PREFIX)
    assert text.isascii()
    assert " " not in text
    assert read_token(f"  {text}\n") == TOKEN
    assert len(text) < 400
    assert str(TOKEN.secret) not in repr(TOKEN)


def test_a_token_that_was_not_copied_whole_is_refused_without_being_repeated() -> None:
    text = token_text(TOKEN)
    for wrong in ("", "hello", text[:-1], text[:-8], text[:40] + "A" + text[41:], PREFIX, PREFIX + "!!!", text * 30):
        if wrong == text:
            continue
        with pytest.raises(Invalid) as refused:
            read_token(wrong)
        assert text[20:60] not in refused.value.message


async def test_a_use_is_counted_with_the_admission_or_not_at_all(cluster: SharedCluster) -> None:
    await cluster.cluster().propose(create(uses=2))
    await cluster.cluster().propose(use(0), admit(0))
    assert token_in(cluster).used_by == (IDS[0],)
    with pytest.raises(Conflict, match="already called"):
        await cluster.cluster().propose(use(1), admit(1, name="n0"))
    assert token_in(cluster).used_by == (IDS[0],)
    await cluster.cluster().propose(use(1), admit(1))
    with pytest.raises(Conflict, match="used 2 of 2"):
        await cluster.cluster().propose(use(2), admit(2))
    assert cluster.machine.picture.count(Node) == 2
    assert token_in(cluster).state_at(2000) is TokenState.USED_UP


async def test_a_member_that_asks_again_uses_nothing_more_and_a_former_one_gets_nothing(cluster: SharedCluster) -> None:
    await cluster.cluster().propose(create())
    await cluster.cluster().propose(use(0), admit(0))
    await cluster.cluster().propose(use(0), admit(0))
    assert token_in(cluster).used_by == (IDS[0],)
    await cluster.cluster().propose(admit(1))
    await cluster.cluster().propose(RemoveNode(node_id=IDS[0], left=False, now_ms=3000))
    with pytest.raises(Conflict, match="used 1 of 1"):
        await cluster.cluster().propose(use(0), admit(0))


async def test_an_expired_or_revoked_token_opens_nothing(cluster: SharedCluster) -> None:
    await cluster.cluster().propose(create())
    with pytest.raises(Forbidden, match="expired at 1970-01-01T01:00:01Z"):
        await cluster.cluster().propose(use(at_ms=1000 + HOUR_MS), admit())
    await cluster.cluster().propose(RevokeToken(token_id="t1", now_ms=1500))
    await cluster.cluster().propose(RevokeToken(token_id="t1", now_ms=1600))
    assert token_in(cluster).revoked_at_ms == 1500
    with pytest.raises(Forbidden, match="was revoked"):
        await cluster.cluster().propose(use(), admit())
    with pytest.raises(NotFound):
        await cluster.cluster().propose(use(token_id="t2"), admit())
    assert cluster.machine.picture.count(Node) == 0


@pytest.mark.parametrize(
    ("wrong", "kind"), [({"uses": 0}, Invalid), ({"uses": 1001}, Invalid), ({"life_ms": 0}, Invalid),
                        ({"life_ms": 367 * 24 * HOUR_MS}, Invalid)],
)  # fmt: skip
async def test_a_token_without_bounds_is_not_made(
    cluster: SharedCluster, wrong: dict[str, int], kind: type[Refused]
) -> None:
    with pytest.raises(kind):
        await cluster.cluster().propose(create(**wrong))  # type: ignore[arg-type]
    assert cluster.machine.picture.count(JoinToken) == 0


async def test_tokens_are_few_and_old_ones_are_forgotten(cluster: SharedCluster) -> None:
    await cluster.cluster().propose(*(create(f"t{number}") for number in range(TOKENS_MAX)))
    with pytest.raises(OverQuota):
        await cluster.cluster().propose(create("one more"))
    await cluster.cluster().propose(create("later", at_ms=2000 + HOUR_MS))
    assert cluster.machine.picture.count(JoinToken) == TOKENS_MAX + 1
    await cluster.cluster().propose(create("much later", at_ms=3000 + HOUR_MS + KEPT_AFTERWARDS_MS))
    assert {token.id for token in cluster.machine.picture.all(JoinToken)} == {"later", "much later"}


async def test_the_whole_state_does_not_hold_the_secret(cluster: SharedCluster) -> None:
    made = create()
    await cluster.cluster().propose(made)
    state = b"".join(cluster.machine.capture().blocks())
    assert secret_hash(b"s").encode() in state
    assert secret_hash(b"s") not in repr(made)
    assert secret_hash(b"s") not in repr(token_in(cluster))


def test_lives_are_written_as_people_write_them() -> None:
    assert [ttl_ms(text) for text in ("90s", "30m", "1h", "7d")] == [90_000, 1_800_000, HOUR_MS, 168 * HOUR_MS]
    for wrong in ("", "1", "h", "-1h", "1.5h", "0m", "1w", "9999999d", "1h1m"):
        with pytest.raises(Invalid):
            ttl_ms(wrong)
