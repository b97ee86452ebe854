"""What the server routes do: create, list, show, change, delete, and act on."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from msgspec import UNSET

from compute import inputs
from compute.pages import page
from compute.placement.commands import NODE_FULL
from compute.servers import versions
from compute.servers.authority import silent_of
from compute.servers.bodies import ActionBody, CreateBody, UpdateBody
from compute.servers.commands import (
    ChangeServer,
    CreateServers,
    DeleteServer,
    LockServer,
    RebootServer,
    ServerChange,
    StartServer,
    StopServer,
)
from compute.servers.console import CONSOLE_CALL, LINES_BYTES_MAX, ConsoleQuestion, last_lines
from compute.servers.creation import Wish, address, compose, draw_luck, hostname, manual_disk, read_wish
from compute.servers.links import event_of, named_server
from compute.servers.listing import listed
from compute.servers.model import Event, Restart, Server
from compute.servers.views import Reader, server_brief, server_created, server_detail, server_updated
from consensus.liveness.links import Watch
from noded.core import dice
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Invalid
from noded.core.ids import NodeId, ServerId
from noded.core.retry import propose_chosen
from noded.core.route import Allow, Done, Request, Response, Route
from storage.volumes.commands import PLACES_CHANGED

CHOICES_MAX = 12  # each time that nodes are chosen again, one of those chosen before has filled up


def reader_of(request: Request) -> Reader:
    """For whom the answer is made, from the newest picture."""
    return Reader(
        view=request.cluster.view(),
        base_url=request.base_url,
        version=request.microversion,
        is_admin=request.caller.is_admin,
        reachable=request.driver(Watch).usable(),
    )


async def list_servers(request: Request) -> Response:
    """The short list."""
    reader = reader_of(request)
    servers, links = page(request, listed(request, reader), lambda server: server.id)
    body: dict[str, object] = {"servers": [server_brief(server, reader) for server in servers]}
    return Response(body=body | ({"servers_links": links} if links else {}))


async def list_servers_detail(request: Request) -> Response:
    """The full list."""
    reader = reader_of(request)
    servers, links = page(request, listed(request, reader), lambda server: server.id)
    body: dict[str, object] = {"servers": [server_detail(server, reader, listed=True) for server in servers]}
    return Response(body=body | ({"servers_links": links} if links else {}))


async def show_server(request: Request) -> Response:
    """One server."""
    return Response(body={"server": server_detail(named_server(request), reader_of(request))})


async def _silent(
    cluster: Cluster, watch: Watch, wish: Wish, asked: Event, luck: Mapping[NodeId, float]
) -> frozenset[NodeId]:
    """The nodes that would be chosen but do not answer; raises `NoRoom` when no others are left."""
    silent: frozenset[NodeId] = frozenset()
    while True:
        command = compose(cluster.view(), wish, watch.usable() - silent, asked, luck)
        found = await silent_of(cluster, {server.node_id for server in command.servers})
        if not found:
            return silent
        silent |= found


async def create_servers(request: Request) -> Response:
    """One or many servers with their ports and disks: one log entry, all or none."""
    body = await request.json(CreateBody)
    cluster, watch = request.cluster, request.driver(Watch)
    wish = read_wish(cluster.view(), request.caller, body, request.microversion)
    asked = event_of(request, "create")
    luck = draw_luck(cluster.view())
    silent = await _silent(cluster, watch, wish, asked, luck)
    server_id = ServerId("")

    def chosen() -> CreateServers:
        nonlocal server_id
        command = compose(cluster.view(), wish, watch.usable() - silent, asked, luck)
        server_id = command.servers[0].server_id
        return command

    await propose_chosen(cluster, chosen, NODE_FULL, PLACES_CHANGED, tries_max=CHOICES_MAX)
    if inputs.flag(body.server.return_reservation_id, "return_reservation_id"):
        return Response(body={"reservation_id": wish.form.reservation_id})
    reader = reader_of(request)
    server = reader.view.need(Server, server_id)
    password = body.server.adminPass or dice.new_password()[:12]
    location = f"{request.base_url}/compute/v2.1/servers/{server.id}"
    return Response(body={"server": server_created(server, reader, password)}, headers={"location": location})


async def update_server(request: Request) -> Response:
    """New words on a server."""
    new = (await request.json(UpdateBody)).server
    inputs.allowed_since(new, versions.UPDATE_FIELDS, request.microversion)
    server = named_server(request)
    change = ServerChange(
        name=UNSET if new.name is UNSET else inputs.name(new.name),
        hostname=UNSET if new.hostname is UNSET else hostname(new.hostname, request.microversion),
        description=UNSET if new.description is UNSET else inputs.description(new.description),
        access_ipv4=UNSET if new.accessIPv4 is UNSET else address(new.accessIPv4, 4),
        access_ipv6=UNSET if new.accessIPv6 is UNSET else address(new.accessIPv6, 6),
        manual_disk=UNSET if new.disk_config is UNSET else manual_disk(new.disk_config),
    )
    if all(value is UNSET for value in msgspec.structs.astuple(new)):
        raise Invalid("Invalid input for field/attribute server. It names nothing to change.")
    await request.cluster.propose(ChangeServer(server_id=server.id, change=change, now_ms=now_ms()))
    return Response(body={"server": server_updated(named_server(request), reader_of(request))})


async def delete_server(request: Request) -> Response:
    """From now on nobody sees the server; its node removes what is left of it, also if it must return first."""
    await _delete(request, named_server(request))
    return Response()


async def act_on_server(request: Request) -> Response:
    """One of the actions; the body says which."""
    body = await request.json(ActionBody)
    given = [
        (field.name, value)
        for field in msgspec.structs.fields(body)
        if (value := getattr(body, field.name)) is not UNSET
    ]
    if len(given) != 1:
        raise Invalid("Name exactly one action.")
    return await _ACTIONS[given[0][0]](request, named_server(request), body)


Act = Callable[[Request, Server, ActionBody], Awaitable[Response]]


async def _start(request: Request, server: Server, _: ActionBody) -> Response:
    await request.cluster.propose(
        StartServer(server_id=server.id, event=event_of(request, "start"), overrides_lock=request.caller.is_admin)
    )
    return Response()


async def _stop(request: Request, server: Server, _: ActionBody) -> Response:
    await request.cluster.propose(
        StopServer(server_id=server.id, event=event_of(request, "stop"), overrides_lock=request.caller.is_admin)
    )
    return Response()


async def _reboot(request: Request, server: Server, body: ActionBody) -> Response:
    assert body.reboot is not UNSET, "the table says so"
    kinds = {"SOFT": Restart.SOFT, "HARD": Restart.HARD}
    restart = kinds.get(body.reboot.type.upper())
    if restart is None:
        raise Invalid(f"Invalid input for field/attribute type. Value: {body.reboot.type[:64]}. It is SOFT or HARD.")
    await request.cluster.propose(
        RebootServer(
            server_id=server.id,
            event=event_of(request, "reboot"),
            overrides_lock=request.caller.is_admin,
            restart=restart,
        )
    )
    return Response()


async def _lock(request: Request, server: Server, body: ActionBody) -> Response:
    reason = body.lock.locked_reason if body.lock is not UNSET and body.lock is not None else None
    if reason is not None and request.microversion < versions.LOCKED_REASON:
        raise Invalid("Additional properties are not allowed ('locked_reason' was unexpected)")
    if reason is not None and not 1 <= len(reason) <= inputs.NAME_LENGTH_MAX:
        raise Invalid("Invalid input for field/attribute locked_reason. It has 1 to 255 characters.")
    owner = "owner" if server.project_id == request.caller.project_id else "admin"
    await request.cluster.propose(
        LockServer(server_id=server.id, event=event_of(request, "lock"), locked_by=owner, reason=reason)
    )
    return Response()


async def _unlock(request: Request, server: Server, _: ActionBody) -> Response:
    await request.cluster.propose(
        LockServer(
            server_id=server.id,
            event=event_of(request, "unlock"),
            overrides_lock=request.caller.is_admin,
            locked_by=None,
        )
    )
    return Response()


async def _force_delete(request: Request, server: Server, _: ActionBody) -> Response:
    await _delete(request, server)
    return Response()


async def _delete(request: Request, server: Server) -> None:
    await request.cluster.propose(
        DeleteServer(server_id=server.id, event=event_of(request, "delete"), overrides_lock=request.caller.is_admin)
    )


async def _console(request: Request, server: Server, body: ActionBody) -> Response:
    assert body.console is not UNSET, "the table says so"
    given = body.console.length
    lines = None if given is None else inputs.number(given, "length", lowest=-1)
    question = ConsoleQuestion(server_id=server.id, bytes_max=LINES_BYTES_MAX)
    written = await request.cluster.call(server.node_id, CONSOLE_CALL, msgspec.msgpack.encode(question))
    return Response(body={"output": last_lines(written, None if lines == -1 else lines)}, done=Done.OK)


_ACTIONS: dict[str, Act] = {
    "start": _start,
    "stop": _stop,
    "reboot": _reboot,
    "lock": _lock,
    "unlock": _unlock,
    "force_delete": _force_delete,
    "console": _console,
}

ROUTES = (
    Route(verb="GET", path="/servers", handler=list_servers, allow=Allow.READER),
    Route(verb="POST", path="/servers", handler=create_servers, allow=Allow.MEMBER, done=Done.ACCEPTED),
    Route(verb="GET", path="/servers/detail", handler=list_servers_detail, allow=Allow.READER),
    Route(verb="GET", path="/servers/{server_id}", handler=show_server, allow=Allow.READER),
    Route(verb="PUT", path="/servers/{server_id}", handler=update_server, allow=Allow.MEMBER),
    Route(verb="DELETE", path="/servers/{server_id}", handler=delete_server, allow=Allow.MEMBER, done=Done.EMPTY),
    Route(
        verb="POST", path="/servers/{server_id}/action", handler=act_on_server, allow=Allow.MEMBER, done=Done.ACCEPTED
    ),
)
