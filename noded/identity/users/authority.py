"""Answers the console: a new password for somebody who is locked out, and users who come from another Keystone."""

from typing import Annotated, Final

import msgspec

from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.dice import new_hex_id
from noded.core.errors import Invalid, NotFound, Refused
from noded.core.ids import DomainId, UserId
from noded.core.service import PeerContext, PeerHandler
from noded.core.store import View
from noded.identity.attributes import Name255, Password, Text
from noded.identity.links import Passwords
from noded.identity.model import Domain, User
from noded.identity.sign_in_rules.model import expect_strong, rules_of
from noded.identity.users.commands import CreateUser, SetPassword, UpdateUser

IMPORTED_MAX: Final = 10_000  # users of one file
AT_ONCE: Final = 50  # of them in one entry of the log


class ResetCall(msgspec.Struct, frozen=True):
    """Whose password is to be set, and to what. A domain is named by its id or its name."""

    user: str
    domain: str
    password: Password

    def __repr__(self) -> str:
        return f"ResetCall(user={self.user!r}, domain={self.domain!r})"  # never the password


class ImportedUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user as another Keystone has them: `password_hash` as in its table `password`."""

    name: Name255
    password_hash: Annotated[str, msgspec.Meta(max_length=1024)] | None = None
    domain: str = "default"
    email: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    description: Text = ""
    enabled: bool = True

    def __repr__(self) -> str:
        return f"ImportedUser(name={self.name!r})"


async def _reset(context: PeerContext, payload: bytes) -> bytes:
    """Set the password, enable the user and end a lock. All their tokens end."""
    call = msgspec.msgpack.decode(payload, type=ResetCall)
    view = context.cluster.view()
    user = _named(view, call.user, _domain_id(view, call.domain))
    expect_strong(rules_of(view), call.password)
    password_hash = await context.drivers.get(Passwords).hash(call.password, cost=rules_of(view).hash_cost)
    now = now_ms()
    await context.cluster.propose(
        UpdateUser(user_id=user.id, enabled=True),
        SetPassword(user_id=user.id, password_hash=password_hash, now_ms=now),
    )
    told = {"id": user.id, "name": user.name, "was_enabled": user.enabled, "was_locked": user.locked_until_ms > now}
    return msgspec.msgpack.encode(told)


async def _import(context: PeerContext, payload: bytes) -> bytes:
    """Make the users; who is there already is left as they are."""
    users = msgspec.msgpack.decode(payload, type=list[ImportedUser])
    if len(users) > IMPORTED_MAX:
        raise Invalid(f"There are {len(users)} users in it; at most {IMPORTED_MAX} are taken at once.")
    view, passwords = context.cluster.view(), context.drivers.get(Passwords)
    orders, kept = [], []
    for user in users:
        domain_id = _domain_id(view, user.domain)
        if user.password_hash is not None and not passwords.understands(user.password_hash):
            raise Invalid(f"The password hash of {user.name} is of no kind that is understood; nobody was imported.")
        if any(each.domain_id == domain_id for each in view.find(User, "name", user.name)):
            kept.append(user.name)
        else:
            orders.append(_order(user, domain_id))
    made = await _made(context.cluster, orders)
    return msgspec.msgpack.encode({"imported": made, "were_there": kept})


def _order(user: ImportedUser, domain_id: str) -> CreateUser:
    return CreateUser(
        user_id=UserId(new_hex_id()),
        domain_id=DomainId(domain_id),
        name=user.name,
        password_hash=user.password_hash,
        enabled=user.enabled,
        description=user.description,
        email=user.email,
        now_ms=now_ms(),
    )


async def _made(cluster: Cluster, orders: list[CreateUser]) -> int:
    made = 0
    for start in range(0, len(orders), AT_ONCE):
        part = orders[start : start + AT_ONCE]
        try:
            await cluster.propose(*part)
        except Refused as refused:
            raise Invalid(f"{made} users were imported, then: {refused.message}") from None
        made += len(part)
    return made


def _domain_id(view: View, named: str) -> str:
    domain = view.get(Domain, named) or next(iter(view.find(Domain, "name", named)), None)
    if domain is None:
        raise NotFound.of(Domain.NOUN, named)
    return domain.id


def _named(view: View, named: str, domain_id: str) -> User:
    by_id = view.get(User, named)
    user = by_id or next((each for each in view.find(User, "name", named) if each.domain_id == domain_id), None)
    if user is None:
        raise NotFound.of(User.NOUN, named)
    return user


LOCAL_CALLS: dict[str, PeerHandler] = {"identity.reset_password": _reset, "identity.import_users": _import}
"""What root on a node may ask."""
