"""A token is worth what the store says when it is shown, and only while a key of ours opens it."""

import msgspec
import pytest
from cryptography.fernet import Fernet

from noded.core.command import Command
from noded.core.errors import Conflict, Unauthenticated, Unavailable
from noded.core.ids import DomainId, ProjectId, RoleId, UserId
from noded.gateway.limits import TOKEN_CHARS_MAX
from noded.identity import domains, grants, groups, projects, roles, tokens, users
from noded.identity.domains.commands import CreateDomain
from noded.identity.grants.commands import GrantRole, RevokeRole
from noded.identity.mapping import GROUPS_MAX
from noded.identity.model import DEFAULT_DOMAIN, RevokedToken, Scope, TokenKey, User
from noded.identity.projects.commands import CreateProject, UpdateProject
from noded.identity.roles.commands import CreateRole
from noded.identity.tokens.commands import KEYS_KEPT, AddTokenKey, RevokeToken
from noded.identity.tokens.recognize import TokenRecognizer, worth
from noded.identity.tokens.seal import Token, TokenBook
from noded.identity.users.commands import CreateUser, SetPassword, UpdateUser
from tests.twins.cluster import SharedCluster

NOW = 1_000_000
ALICE, HOME = UserId("alice"), ProjectId("home")
READER, MEMBER = RoleId("reader"), RoleId("member")
TOKEN = Token(
    user_id=ALICE,
    password_generation=1,
    scope=Scope.PROJECT,
    target_id=HOME,
    methods=("password",),
    issued_ms=NOW,
    expires_ms=NOW + 1000,
    audit_ids=("audit",),
)


def key(number: int) -> AddTokenKey:
    return AddTokenKey(key_id=f"key{number}", secret=Fernet.generate_key(), now_ms=NOW, after_number=number - 1)


@pytest.fixture
async def cluster() -> SharedCluster:
    shared = SharedCluster([module.SERVICE for module in (domains, projects, users, groups, roles, grants, tokens)])
    await propose(
        shared,
        CreateDomain(domain_id=DEFAULT_DOMAIN, name="Default"),
        CreateProject(project_id=HOME, domain_id=DEFAULT_DOMAIN, name="home"),
        CreateUser(user_id=ALICE, domain_id=DEFAULT_DOMAIN, name="alice", password_hash="x"),
        CreateRole(role_id=READER, name="reader"),
        CreateRole(role_id=MEMBER, name="member", implies=(READER,)),
        GrantRole(user_id=ALICE, scope=Scope.PROJECT, target_id=HOME, role_id=MEMBER),
        key(1),
        key(2),
    )
    return shared


async def propose(shared: SharedCluster, *commands: Command) -> None:
    await shared.cluster().propose(*commands)


def is_good(shared: SharedCluster, book: TokenBook, sealed: str, now_ms: int = NOW) -> bool:
    try:
        TokenRecognizer(book).caller(shared.cluster().view(), sealed, now_ms)
    except Unauthenticated:
        return False
    return True


async def test_a_token_says_who_and_brings_implied_roles(cluster: SharedCluster) -> None:
    book = TokenBook()
    view = cluster.cluster().view()
    caller = TokenRecognizer(book).caller(view, book.seal(view, TOKEN), NOW)
    assert (caller.user_id, caller.project_id, caller.roles) == (ALICE, HOME, frozenset({"member", "reader"}))


async def test_what_one_node_sealed_another_opens(cluster: SharedCluster) -> None:
    view = cluster.cluster().view()
    assert TokenBook().open(view, TokenBook().seal(view, TOKEN), NOW) == TOKEN


@pytest.mark.parametrize(
    "forged", ["", "x", "gAAAAA", "é" * 300, Fernet(Fernet.generate_key()).encrypt(b"\x98\x00").decode()]
)
async def test_what_no_node_sealed_is_refused(cluster: SharedCluster, forged: str) -> None:
    assert not is_good(cluster, TokenBook(), forged)


async def test_one_changed_letter_is_noticed(cluster: SharedCluster) -> None:
    book = TokenBook()
    sealed = book.seal(cluster.cluster().view(), TOKEN)
    assert is_good(cluster, book, sealed)
    for place in (20, 60, len(sealed) // 2):
        letter = "A" if sealed[place] != "A" else "B"
        assert not is_good(cluster, book, sealed[:place] + letter + sealed[place + 1 :])


async def test_a_token_ends_with_its_time(cluster: SharedCluster) -> None:
    book = TokenBook()
    sealed = book.seal(cluster.cluster().view(), TOKEN)
    assert is_good(cluster, book, sealed, NOW + 999)
    assert not is_good(cluster, book, sealed, NOW + 1000)


@pytest.mark.parametrize(
    "change",
    [
        RevokeToken(audit_id="audit", expires_ms=NOW + 1000),
        SetPassword(user_id=ALICE, password_hash="y"),
        RevokeRole(user_id=ALICE, scope=Scope.PROJECT, target_id=HOME, role_id=MEMBER),
        UpdateProject(project_id=HOME, enabled=False),
        UpdateUser(user_id=ALICE, enabled=False),
    ],
)
async def test_a_token_ends_with_what_it_rests_on(cluster: SharedCluster, change: Command) -> None:
    book = TokenBook()
    sealed = book.seal(cluster.cluster().view(), TOKEN)
    assert is_good(cluster, book, sealed)
    await propose(cluster, change)
    assert not is_good(cluster, book, sealed)


async def test_a_user_who_was_disabled_does_not_get_old_tokens_back(cluster: SharedCluster) -> None:
    book = TokenBook()
    sealed = book.seal(cluster.cluster().view(), TOKEN)
    for enabled in (False, True):
        await propose(cluster, UpdateUser(user_id=ALICE, enabled=enabled))
    assert not is_good(cluster, book, sealed)


async def test_two_changes_at_once_both_count(cluster: SharedCluster) -> None:
    await propose(cluster, UpdateUser(user_id=ALICE, name="alicia"))
    await propose(cluster, UpdateUser(user_id=ALICE, email="a@b.c", extra={"color": "blue"}))
    await propose(cluster, UpdateUser(user_id=ALICE, extra={"color": None, "size": 1}))
    user = cluster.cluster().view().need(User, ALICE)
    assert (user.name, user.email, user.extra) == ("alicia", "a@b.c", {"size": 1})


async def test_tokens_outlive_the_rotation_of_keys_until_their_key_goes(cluster: SharedCluster) -> None:
    book = TokenBook()
    sealed = book.seal(cluster.cluster().view(), TOKEN)
    for number in range(3, KEYS_KEPT + 1):
        await propose(cluster, key(number))
        assert is_good(cluster, book, sealed)
    await propose(cluster, key(KEYS_KEPT + 1))
    assert not is_good(cluster, book, sealed)
    assert cluster.cluster().view().count(TokenKey) == KEYS_KEPT


async def test_a_node_that_lags_by_one_rotation_still_opens_what_others_seal(cluster: SharedCluster) -> None:
    before = cluster.cluster().view()
    await propose(cluster, key(3))
    sealed = TokenBook().seal(cluster.cluster().view(), TOKEN)
    assert TokenBook().open(before, sealed, NOW) == TOKEN


async def test_two_nodes_that_rotate_at_once_add_one_key(cluster: SharedCluster) -> None:
    await propose(cluster, key(3))
    with pytest.raises(Conflict):
        await propose(cluster, msgspec.structs.replace(key(3), key_id="another"))


async def test_revocations_of_ended_tokens_are_forgotten(cluster: SharedCluster) -> None:
    await propose(cluster, RevokeToken(audit_id="old", expires_ms=NOW - 1), RevokeToken(audit_id="new", expires_ms=NOW))
    await propose(cluster, key(3))
    assert [revoked.id for revoked in cluster.cluster().view().all(RevokedToken)] == ["new"]


async def test_without_keys_nothing_is_sealed() -> None:
    empty = SharedCluster([tokens.SERVICE])
    with pytest.raises(Unavailable):
        TokenBook().seal(empty.cluster().view(), TOKEN)


async def test_a_system_token_holds_no_project(cluster: SharedCluster) -> None:
    await propose(cluster, GrantRole(user_id=ALICE, scope=Scope.SYSTEM, target_id="all", role_id=READER))
    token = msgspec.structs.replace(TOKEN, scope=Scope.SYSTEM, target_id="all")
    standing = worth(cluster.cluster().view(), token)
    assert standing.project is None
    assert [role.name for role in standing.roles] == ["reader"]


def test_secrets_stay_out_of_reprs() -> None:
    record = TokenKey(id="k", number=1, secret=b"topsecret", created_ms=0)
    user = CreateUser(user_id=ALICE, domain_id=DomainId("d"), name="alice", password_hash="topsecret")
    change = SetPassword(user_id=ALICE, password_hash="topsecret")
    adding = AddTokenKey(key_id="k", secret=b"topsecret", now_ms=0, after_number=0)
    assert all("topsecret" not in repr(each) for each in (record, user, change, adding))


async def test_a_token_with_as_many_groups_as_there_may_be_is_no_longer_than_tokens_may_be() -> None:
    shared = SharedCluster([tokens.SERVICE])
    await shared.cluster().propose(key(1))
    groups = tuple(f"{number:032x}" for number in range(GROUPS_MAX))
    crowded = msgspec.structs.replace(TOKEN, provider_id="i" * 64, protocol="o" * 64, group_ids=groups)
    assert len(TokenBook().seal(shared.cluster().view(), crowded)) <= TOKEN_CHARS_MAX
