"""Answers /users."""

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, cast

import msgspec

from noded.core.clock import now_ms
from noded.core.dice import new_hex_id
from noded.core.errors import Forbidden, Invalid, Unauthenticated
from noded.core.ids import DomainId, ProjectId, UserId
from noded.core.route import Allow, Done, Request, Response, Route
from noded.core.times import zulu
from noded.identity import views
from noded.identity.attributes import Id, Name255, Password, Text, UserOptions, read, told_options
from noded.identity.guesses.authority import note_failure, note_success
from noded.identity.links import HashCost, Passwords
from noded.identity.listing import listed
from noded.identity.model import FederatedIdentity, User
from noded.identity.overseeing import expect_command, expect_sight
from noded.identity.sign_in_rules.model import DAY_MS, expect_strong, is_expired, rules_of
from noded.identity.standing import projects_of
from noded.identity.users.commands import CreateUser, DeleteUser, SetPassword, UpdateUser

_COMPARED: Final[dict[str, Callable[[int, int], bool]]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "eq": operator.eq,
    "neq": operator.ne,
}
Email = Annotated[str, msgspec.Meta(max_length=255)]


class UserBody(msgspec.Struct, frozen=True):
    """`{"user": {...}}`."""

    user: dict[str, Any]

    def __repr__(self) -> str:
        return "UserBody()"  # there may be a password in it


class ProtocolIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who a user is by one protocol of an identity provider."""

    protocol_id: Id
    unique_id: Name255


class ProviderIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who a user is to an identity provider."""

    idp_id: Id
    protocols: Annotated[tuple[ProtocolIdentity, ...], msgspec.Meta(min_length=1, max_length=8)]


Federated = Annotated[tuple[ProviderIdentity, ...], msgspec.Meta(max_length=8)]


class UserForm(msgspec.Struct, frozen=True):
    """A new user."""

    name: Name255
    domain_id: Id | None = None
    password: Password | None = None
    enabled: bool = True
    description: Text | None = None
    email: Email | None = None
    default_project_id: Id | None = None
    options: UserOptions | msgspec.UnsetType = msgspec.UNSET
    federated: Federated = ()

    def __repr__(self) -> str:
        return f"UserForm(name={self.name!r})"


class UserChange(msgspec.Struct, frozen=True):
    """What shall be different."""

    name: Name255 | msgspec.UnsetType = msgspec.UNSET
    domain_id: Id | msgspec.UnsetType = msgspec.UNSET
    password: Password | msgspec.UnsetType | None = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET
    email: Email | msgspec.UnsetType | None = msgspec.UNSET
    default_project_id: Id | msgspec.UnsetType | None = msgspec.UNSET
    options: UserOptions | msgspec.UnsetType = msgspec.UNSET

    def __repr__(self) -> str:
        return "UserChange()"


class PasswordChange(msgspec.Struct, frozen=True):
    """The old password and the new one."""

    original_password: Annotated[str, msgspec.Meta(max_length=4096)]
    password: Password

    def __repr__(self) -> str:
        return "PasswordChange()"


class PasswordBody(msgspec.Struct, frozen=True):
    """`{"user": {...}}` of a change of password."""

    user: PasswordChange


async def create_user(request: Request) -> Response:
    """POST /users."""
    form, extra = read((await request.json(UserBody)).user, UserForm)
    caller = request.caller
    expect_command(caller, form.domain_id)
    password_hash = None
    if form.password is not None:
        expect_strong(rules_of(request.cluster.view()), form.password)
        password_hash = await request.driver(Passwords).hash(form.password, cost=_cost(request))
    user_id = UserId(new_hex_id())
    await request.cluster.propose(
        CreateUser(
            user_id=user_id,
            domain_id=DomainId(form.domain_id or caller.domain_id or caller.user_domain_id),
            name=form.name,
            password_hash=password_hash,
            enabled=form.enabled,
            description=form.description or "",
            email=form.email,
            default_project_id=ProjectId(form.default_project_id) if form.default_project_id else None,
            extra=extra,
            options=told_options(form.options),
            now_ms=now_ms(),
            federated=_identities(form.federated),
        )
    )
    return _answer(request, user_id)


async def list_users(request: Request) -> Response:
    """GET /users, by `name`, `domain_id`, `enabled` and `password_expires_at` (`lt:2026-01-02T03:04:05Z`).

    By `idp_id`, `protocol_id` and `unique_id`, too: whom an identity provider means.
    """
    view, query = request.cluster.view(), request.query
    found = view.find(User, "name", query["name"]) if "name" in query else view.all(User)
    only, expiry = request.caller.domain_id, _expiry(query.get("password_expires_at"))
    entries = [
        views.user(request.base_url, user)
        for user in found
        if only in (None, user.domain_id) and expiry(user.password_expires_ms) and _is_known_to(user, query)
    ]
    self_url = views.link(request.base_url, "users")
    return listed(request, "users", entries, self_url, "name", "domain_id", "enabled")


def _identities(federated: Federated) -> tuple[FederatedIdentity, ...]:
    return tuple(
        FederatedIdentity(provider_id=provider.idp_id, protocol=protocol.protocol_id, unique_id=protocol.unique_id)
        for provider in federated
        for protocol in provider.protocols
    )


def _is_known_to(user: User, query: Mapping[str, str]) -> bool:
    """Whether the user is whom the query means by `idp_id`, `protocol_id` and `unique_id`."""
    asked = [query.get(name) for name in ("idp_id", "protocol_id", "unique_id")]
    if asked == [None, None, None]:
        return True
    return any(
        all(wanted in (None, known) for wanted, known in zip(asked, each, strict=True))
        for each in ((known.provider_id, known.protocol, known.unique_id) for known in user.federated)
    )


def _expiry(text: str | None) -> Callable[[int | None], bool]:
    """Whether a password expires as the query asks; one that never does fits none but the query that asks nothing."""
    if text is None:
        return lambda _: True
    word, _, time = text.partition(":")
    if word not in _COMPARED:
        word, time = "eq", text
    try:
        moment = datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Invalid(
            f"Invalid input: {text[:100]} is no time to compare with, such as lt:2026-01-02T03:04:05Z - at"
            " `$.password_expires_at`."
        ) from None
    wanted_ms = int(moment.timestamp() * 1000)
    return lambda ms: ms is not None and _COMPARED[word](ms // 1000 * 1000, wanted_ms)


async def show_user(request: Request) -> Response:
    """GET /users/{user_id}: for oneself, and for who oversees the user's domain."""
    _expect_sight(request)
    return _answer(request, UserId(request.params["user_id"]))


async def update_user(request: Request) -> Response:
    """PATCH /users/{user_id}; a password given here is set without asking for the old one."""
    change, extra = read((await request.json(UserBody)).user, UserChange)
    before = _commanded(request)
    if change.domain_id not in (msgspec.UNSET, before.domain_id):
        raise Forbidden("A user can't move to another domain.")
    update = UpdateUser(
        user_id=before.id,
        name=change.name,
        enabled=change.enabled,
        description="" if change.description is None else change.description,
        email=change.email,
        default_project_id=cast("ProjectId | msgspec.UnsetType | None", change.default_project_id),
        extra=extra,
        options=told_options(change.options),
    )
    if change.password is msgspec.UNSET or change.password is None:
        await request.cluster.propose(update)
    else:
        expect_strong(rules_of(request.cluster.view()), change.password)
        password_hash = await request.driver(Passwords).hash(change.password, cost=_cost(request))
        reset = SetPassword(user_id=before.id, password_hash=password_hash, now_ms=now_ms())
        await request.cluster.propose(update, reset)
    return _answer(request, before.id)


async def change_password(request: Request) -> Response:
    """POST /users/{user_id}/password: whoever knows the old password sets the new one; no token is needed.

    An expired password is enough, since this is where it is renewed.
    """
    change = (await request.json(PasswordBody)).user
    passwords = request.driver(Passwords)
    user = request.cluster.view().get(User, request.params["user_id"])
    asker, known = request.cluster.origin.address, None if user is None else user.password_hash
    old_matches = await passwords.matches(known, change.original_password, asker, _cost(request))
    now = now_ms()
    if user is not None and not old_matches:
        await note_failure(request, user, now)  # here, too, one could guess
    if user is None or not old_matches or not user.enabled or user.locked_until_ms > now:
        raise Unauthenticated("The request you have made requires authentication.")
    await note_success(request, user.id, now)
    await _expect_new(request, user, change.password, now)
    await request.cluster.propose(
        SetPassword(
            user_id=user.id,
            password_hash=await passwords.hash(change.password, cost=_cost(request)),
            known_generation=user.password_generation,
            now_ms=now,
        )
    )
    return Response()


def _cost(request: Request) -> HashCost:
    return rules_of(request.cluster.view()).hash_cost


async def _expect_new(request: Request, user: User, password: str, now: int) -> None:
    """Raises `Invalid` unless the rules allow this user to choose this password now."""
    rules = rules_of(request.cluster.view())
    if user.options.get("lock_password"):
        raise Invalid("The password of this user can't be changed by the user; an administrator can set one.")
    is_young = now < user.password_set_ms + rules.password_age_min_days * DAY_MS
    if is_young and not is_expired(user, now):
        raise Invalid(
            f"Cannot change password before the minimum age of {rules.password_age_min_days} days is met. It was set at"
            f" {zulu(user.password_set_ms)}."
        )
    expect_strong(rules, password)
    last = (user.password_hash, *user.past_hashes)[: rules.unique_last_passwords]
    for password_hash in last:
        if await request.driver(Passwords).matches(password_hash, password):
            raise Invalid(
                "The new password cannot be identical to a previous password. The total number which includes the new"
                f" password must be unique is {rules.unique_last_passwords}."
            )


async def delete_user(request: Request) -> Response:
    """DELETE /users/{user_id}."""
    if request.params["user_id"] == request.caller.user_id:
        raise Forbidden("You can't delete the user that you are signed in as.")
    await request.cluster.propose(DeleteUser(user_id=_commanded(request).id))
    return Response()


async def list_user_projects(request: Request) -> Response:
    """GET /users/{user_id}/projects: for oneself, and for who oversees the user's domain."""
    _expect_sight(request)
    view = request.cluster.view()
    user = view.need(User, request.params["user_id"])
    entries = [views.project(request.base_url, project) for project in projects_of(view, user.id)]
    self_url = views.link(request.base_url, "users", user.id, "projects")
    return listed(request, "projects", entries, self_url, "name", "domain_id", "parent_id", "enabled")


def _expect_sight(request: Request) -> None:
    """Oneself, or one in the sight of the caller."""
    user = request.cluster.view().get(User, request.params["user_id"])
    if request.params["user_id"] != request.caller.user_id:
        expect_sight(request.caller, None if user is None else user.domain_id)


def _commanded(request: Request) -> User:
    """The user that the path names, whom the caller may change."""
    view, id = request.cluster.view(), request.params["user_id"]
    user = view.get(User, id)
    expect_command(request.caller, None if user is None else user.domain_id)
    return view.need(User, id)


def _answer(request: Request, user_id: UserId) -> Response:
    user = request.cluster.view().need(User, user_id)
    return Response(body={"user": views.user(request.base_url, user)})


ROUTES = (
    Route(verb="POST", path="/users", handler=create_user, allow=Allow.DOMAIN_MANAGER, done=Done.CREATED),
    Route(verb="GET", path="/users", handler=list_users, allow=Allow.DOMAIN_READER),
    Route(verb="GET", path="/users/{user_id}", handler=show_user, allow=Allow.ANY_TOKEN),
    Route(verb="PATCH", path="/users/{user_id}", handler=update_user, allow=Allow.DOMAIN_MANAGER),
    Route(verb="DELETE", path="/users/{user_id}", handler=delete_user, allow=Allow.DOMAIN_MANAGER, done=Done.EMPTY),
    Route(
        verb="POST",
        path="/users/{user_id}/password",
        handler=change_password,
        allow=Allow.ANYONE,
        done=Done.EMPTY,
        body_max=16 * 1024,
    ),
    Route(verb="GET", path="/users/{user_id}/projects", handler=list_user_projects, allow=Allow.ANY_TOKEN),
)
