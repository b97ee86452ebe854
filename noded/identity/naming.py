"""Which roles does a request mean? Delegations name them by id or by name."""

from collections.abc import Iterable
from typing import Annotated

import msgspec

from noded.core.errors import Invalid, NotFound
from noded.core.store import View
from noded.identity.model import Role

Short = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class RoleRef(msgspec.Struct, frozen=True):
    """A role by id, or by name."""

    id: Short | None = None
    name: Short | None = None


def named_roles(view: View, references: Iterable[RoleRef]) -> list[Role]:
    """The roles meant. Raises `NotFound` for one that is not there, `Invalid` for one that is not named."""
    return [_named(view, reference) for reference in references]


def _named(view: View, reference: RoleRef) -> Role:
    if reference.id is not None:
        return view.need(Role, reference.id)
    if reference.name is None:
        raise Invalid("Invalid input: a role needs `id` or `name` - at `$.roles`.")
    for role in view.find(Role, "name", reference.name):
        if role.domain_id is None:
            return role
    raise NotFound.of(Role.NOUN, reference.name)
