"""Answers /groups, who is in them, and /users/{user_id}/groups."""

from typing import Any

import msgspec

from noded.core.dice import new_hex_id
from noded.core.errors import Forbidden
from noded.core.ids import DomainId, GroupId, UserId
from noded.core.route import Allow, Done, Request, Response, Route
from noded.identity import views
from noded.identity.attributes import Id, Name64, Text, read
from noded.identity.groups.commands import (
    AddToGroup,
    CreateGroup,
    DeleteGroup,
    RemoveFromGroup,
    UpdateGroup,
    expect_sides,
    need_membership,
)
from noded.identity.listing import listed
from noded.identity.model import Group, Membership, User
from noded.identity.overseeing import expect_command, expect_sight


class GroupBody(msgspec.Struct, frozen=True):
    """`{"group": {...}}`."""

    group: dict[str, Any]


class GroupForm(msgspec.Struct, frozen=True):
    """A new group."""

    name: Name64
    domain_id: Id | None = None
    description: Text | None = None


class GroupChange(msgspec.Struct, frozen=True):
    """What shall be different."""

    name: Name64 | msgspec.UnsetType = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET
    domain_id: Id | msgspec.UnsetType = msgspec.UNSET


async def create_group(request: Request) -> Response:
    """POST /groups."""
    form, extra = read((await request.json(GroupBody)).group, GroupForm)
    expect_command(request.caller, form.domain_id)
    group_id = GroupId(new_hex_id())
    await request.cluster.propose(
        CreateGroup(
            group_id=group_id,
            domain_id=DomainId(form.domain_id or own_domain(request)),
            name=form.name,
            description=form.description or "",
            extra=extra,
        )
    )
    return _answer(request, group_id)


def own_domain(request: Request) -> str:
    """Where something is made whose domain the request does not name: the token's domain, else the caller's own."""
    return request.caller.domain_id or request.caller.user_domain_id


async def list_groups(request: Request) -> Response:
    """GET /groups, by `name` and `domain_id`."""
    view, query = request.cluster.view(), request.query
    found = view.find(Group, "name", query["name"]) if "name" in query else view.all(Group)
    only = request.caller.domain_id
    entries = [views.group(request.base_url, group) for group in found if only in (None, group.domain_id)]
    return listed(request, "groups", entries, views.link(request.base_url, "groups"), "name", "domain_id")


async def show_group(request: Request) -> Response:
    """GET /groups/{group_id}."""
    expect_sight(request.caller, _domain_of_group(request))
    return _answer(request, GroupId(request.params["group_id"]))


async def update_group(request: Request) -> Response:
    """PATCH /groups/{group_id}."""
    change, extra = read((await request.json(GroupBody)).group, GroupChange)
    expect_command(request.caller, _domain_of_group(request))
    before = request.cluster.view().need(Group, request.params["group_id"])
    if change.domain_id not in (msgspec.UNSET, before.domain_id):
        raise Forbidden("A group can't move to another domain.")
    await request.cluster.propose(
        UpdateGroup(
            group_id=before.id,
            name=change.name,
            description="" if change.description is None else change.description,
            extra=extra,
        )
    )
    return _answer(request, before.id)


async def delete_group(request: Request) -> Response:
    """DELETE /groups/{group_id}."""
    request.cluster.view().need(Group, request.params["group_id"])  # as Keystone, which looks for it first here
    expect_command(request.caller, _domain_of_group(request))
    await request.cluster.propose(DeleteGroup(group_id=GroupId(request.params["group_id"])))
    return Response()


async def list_members(request: Request) -> Response:
    """GET /groups/{group_id}/users."""
    expect_sight(request.caller, _domain_of_group(request))
    view = request.cluster.view()
    group = view.need(Group, request.params["group_id"])
    members = [view.need(User, each.user_id) for each in view.find(Membership, "group_id", group.id)]
    only = request.caller.domain_id  # with a token of a domain one sees that domain alone
    entries = [views.user(request.base_url, user) for user in members if only in (None, user.domain_id)]
    self_url = views.link(request.base_url, "groups", group.id, "users")
    return listed(request, "users", entries, self_url, "name", "domain_id", "enabled")


async def add_member(request: Request) -> Response:
    """PUT /groups/{group_id}/users/{user_id}."""
    expect_command(request.caller, _domain_of_group(request), _domain_of_user(request))
    group_id, user_id = GroupId(request.params["group_id"]), UserId(request.params["user_id"])
    await request.cluster.propose(AddToGroup(group_id=group_id, user_id=user_id))
    return Response()


async def check_member(request: Request) -> Response:
    """GET and HEAD /groups/{group_id}/users/{user_id}."""
    expect_sight(request.caller, _domain_of_group(request), _domain_of_user(request))
    view, group_id, user_id = request.cluster.view(), request.params["group_id"], request.params["user_id"]
    expect_sides(view, group_id, user_id)
    need_membership(view, group_id, user_id)
    return Response()


async def remove_member(request: Request) -> Response:
    """DELETE /groups/{group_id}/users/{user_id}."""
    expect_command(request.caller, _domain_of_group(request), _domain_of_user(request))
    group_id, user_id = GroupId(request.params["group_id"]), UserId(request.params["user_id"])
    await request.cluster.propose(RemoveFromGroup(group_id=group_id, user_id=user_id))
    return Response()


async def list_user_groups(request: Request) -> Response:
    """GET /users/{user_id}/groups: for oneself, and for who oversees the user's domain."""
    if request.params["user_id"] != request.caller.user_id:
        expect_sight(request.caller, _domain_of_user(request))
    view = request.cluster.view()
    user = view.need(User, request.params["user_id"])
    only = request.caller.domain_id
    entries = [
        {**views.group(request.base_url, group), "membership_expires_at": views.when(each.expires_ms)}
        for each in view.find(Membership, "user_id", user.id)
        if only in (None, (group := view.need(Group, each.group_id)).domain_id)
    ]
    self_url = views.link(request.base_url, "users", user.id, "groups")
    return listed(request, "groups", entries, self_url, "name")


def _domain_of_group(request: Request) -> str | None:
    group = request.cluster.view().get(Group, request.params["group_id"])
    return None if group is None else group.domain_id


def _domain_of_user(request: Request) -> str | None:
    user = request.cluster.view().get(User, request.params["user_id"])
    return None if user is None else user.domain_id


def _answer(request: Request, group_id: GroupId) -> Response:
    group = request.cluster.view().need(Group, group_id)
    return Response(body={"group": views.group(request.base_url, group)})


_MEMBER = "/groups/{group_id}/users/{user_id}"

ROUTES = (
    Route(verb="POST", path="/groups", handler=create_group, allow=Allow.DOMAIN_MANAGER, done=Done.CREATED),
    Route(verb="GET", path="/groups", handler=list_groups, allow=Allow.DOMAIN_READER),
    Route(verb="GET", path="/groups/{group_id}", handler=show_group, allow=Allow.DOMAIN_READER),
    Route(verb="PATCH", path="/groups/{group_id}", handler=update_group, allow=Allow.DOMAIN_MANAGER),
    Route(
        verb="DELETE",
        path="/groups/{group_id}",
        handler=delete_group,
        allow=Allow.DOMAIN_MANAGER,
        done=Done.EMPTY,
        sought=(Group, "group_id"),
    ),
    Route(verb="GET", path="/groups/{group_id}/users", handler=list_members, allow=Allow.DOMAIN_READER),
    Route(verb="PUT", path=_MEMBER, handler=add_member, allow=Allow.DOMAIN_MANAGER, done=Done.EMPTY),
    Route(verb="GET", path=_MEMBER, handler=check_member, allow=Allow.DOMAIN_READER, done=Done.EMPTY),
    Route(verb="DELETE", path=_MEMBER, handler=remove_member, allow=Allow.DOMAIN_MANAGER, done=Done.EMPTY),
    Route(verb="GET", path="/users/{user_id}/groups", handler=list_user_groups, allow=Allow.ANY_TOKEN),
)
