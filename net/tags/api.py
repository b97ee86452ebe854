"""Answers requests about tags, alike for every kind of resource (Networking API v2.0, "Tag extension")."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from net import inputs
from net.changes import CHANGED_MEANWHILE
from net.inputs import Body
from net.networks.commands import NetworkChange, SubnetChange, UpdateNetwork, UpdateSubnet
from net.networks.model import Network, Subnet
from net.ports.commands import PortChange, UpdatePort
from net.ports.model import Port
from net.security_groups.commands import SecurityGroupChange, UpdateSecurityGroup
from net.security_groups.model import SecurityGroup
from noded.core.clock import now_ms
from noded.core.command import Command
from noded.core.errors import NotFound
from noded.core.retry import propose_chosen
from noded.core.route import Allow, Done, Handler, Request, Response, Route

Tagged = Network | Subnet | Port | SecurityGroup


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of resource that has tags."""

    collection: str
    record: type[Tagged]
    change: Callable[[Tagged, tuple[str, ...]], Command]


def _network(record: Tagged, tags: tuple[str, ...]) -> Command:
    assert isinstance(record, Network), "its own kind"
    change = NetworkChange(tags=tags)
    return UpdateNetwork(network_id=record.id, change=change, generation=record.generation, now_ms=now_ms())


def _subnet(record: Tagged, tags: tuple[str, ...]) -> Command:
    assert isinstance(record, Subnet), "its own kind"
    change = SubnetChange(tags=tags)
    return UpdateSubnet(subnet_id=record.id, change=change, generation=record.generation, now_ms=now_ms())


def _port(record: Tagged, tags: tuple[str, ...]) -> Command:
    assert isinstance(record, Port), "its own kind"
    change = PortChange(tags=tags)
    return UpdatePort(port_id=record.id, change=change, generation=record.generation, now_ms=now_ms())


def _group(record: Tagged, tags: tuple[str, ...]) -> Command:
    assert isinstance(record, SecurityGroup), "its own kind"
    change = SecurityGroupChange(tags=tags)
    return UpdateSecurityGroup(group_id=record.id, change=change, generation=record.generation, now_ms=now_ms())


_KINDS = (
    _Kind("networks", Network, _network),
    _Kind("subnets", Subnet, _subnet),
    _Kind("ports", Port, _port),
    _Kind("security-groups", SecurityGroup, _group),
)


class TagsBody(Body, frozen=True, kw_only=True):
    """The body of PUT …/tags."""

    tags: list[str]


def _own(request: Request, kind: _Kind) -> Tagged:
    record = request.cluster.view().get(kind.record, request.params["id"])
    caller = request.caller
    if record is None or not (caller.is_admin or record.project_id == caller.project_id):
        raise NotFound(
            f"{kind.collection} {request.params['id'][:255]} could not be found.", code="TagResourceNotFound"
        )
    return record


async def _change(request: Request, kind: _Kind, wanted: Callable[[set[str]], Iterable[str]]) -> Tagged:
    """Set the tags that `wanted` makes of those that are there; tried again when the resource changes meanwhile."""

    def choose() -> Command:
        record = _own(request, kind)
        return kind.change(record, inputs.tags(sorted(wanted(set(record.tags)))))

    await propose_chosen(request.cluster, choose, CHANGED_MEANWHILE)
    return _own(request, kind)


def _has(record: Tagged, tag: str) -> None:
    if tag not in record.tags:
        raise NotFound(f"Tag {tag[:60]} could not be found.", code="TagNotFound")


def _routes(kind: _Kind) -> tuple[Route, ...]:
    async def list_tags(request: Request) -> Response:
        """GET …/tags."""
        return Response(body={"tags": list(_own(request, kind).tags)})

    async def replace_tags(request: Request) -> Response:
        """PUT …/tags."""
        body = await request.json(TagsBody)
        record = await _change(request, kind, lambda _: body.tags)
        return Response(body={"tags": list(record.tags)})

    async def remove_tags(request: Request) -> Response:
        """DELETE …/tags."""
        await _change(request, kind, lambda _: ())
        return Response()

    async def check_tag(request: Request) -> Response:
        """GET …/tags/{tag}."""
        _has(_own(request, kind), request.params["tag"])
        return Response()

    async def add_tag(request: Request) -> Response:
        """PUT …/tags/{tag}."""
        await _change(request, kind, lambda tags: tags | {request.params["tag"]})
        return Response()

    async def remove_tag(request: Request) -> Response:
        """DELETE …/tags/{tag}."""
        _has(_own(request, kind), request.params["tag"])
        await _change(request, kind, lambda tags: tags - {request.params["tag"]})
        return Response()

    def route(verb: str, below: str, handler: Handler, done: Done = Done.EMPTY) -> Route:
        allow = Allow.READER if verb == "GET" else Allow.MEMBER
        return Route(verb=verb, path=f"/{kind.collection}/{{id}}/tags{below}", handler=handler, allow=allow, done=done)

    return (
        route("GET", "", list_tags, Done.OK),
        route("PUT", "", replace_tags, Done.OK),
        route("DELETE", "", remove_tags),
        route("GET", "/{tag}", check_tag),
        route("PUT", "/{tag}", add_tag, Done.CREATED),
        route("DELETE", "/{tag}", remove_tag),
    )


ROUTES = tuple(route for kind in _KINDS for route in _routes(kind))
