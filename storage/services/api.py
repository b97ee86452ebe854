"""What the routes about the nodes do (Cinder v3: "Services", "Hosts", "Back-end storage pools", "Capabilities", …)."""

from typing import Any, Final

from consensus.liveness.links import Watch
from consensus.members.model import Node
from noded.core.clock import now_ms
from noded.core.errors import Invalid, NotFound
from noded.core.route import Allow, Done, Request, Response, Route
from storage import inputs
from storage.inputs import Body
from storage.services import offers
from storage.services.views import (
    capabilities_view,
    every_service,
    host_detail,
    host_entry,
    members,
    pool_name,
    pool_view,
    service_host,
    service_view,
    switched,
)
from storage.switches.commands import SetSwitch
from storage.switches.model import BINARIES, VOLUME, switch_of

CLUSTERS_SINCE: Final = (3, 7)
MANAGEABLE_SINCE: Final = (3, 8)
CLEANUP_SINCE: Final = (3, 24)
FAILOVER_SINCE: Final = (3, 26)
LOG_LEVELS_SINCE: Final = (3, 32)
POOL_FILTERS_SINCE: Final = (3, 28)
FILTERS_SINCE: Final = (3, 33)


class SwitchBody(Body, frozen=True):
    """Which part of which host, and why."""

    host: str
    binary: str | None = None
    service: str | None = None
    disabled_reason: str | None = None
    cluster: str | None = None


class FailoverBody(Body, frozen=True):
    """Which host is to fail over, and to which."""

    host: str | None = None
    cluster: str | None = None
    backend_id: str | None = None


class ClusterBody(Body, frozen=True):
    """Which cluster of backends."""

    name: str
    binary: str | None = None
    disabled_reason: str | None = None


class LogLevelBody(Body, frozen=True):
    """Whose log, and how much it is to say."""

    binary: str | None = None
    server: str | None = None
    prefix: str | None = None
    level: str | None = None


class CleanupBody(Body, frozen=True):
    """Whose unfinished work is to be cleaned up; all filters may be left out."""

    cluster_name: str | None = None
    service_id: int | str | None = None
    host: str | None = None
    binary: str | None = None
    is_up: bool | str | None = None
    disabled: bool | str | None = None
    resource_id: str | None = None
    resource_type: str | None = None


async def list_services(request: Request) -> Response:
    """Every part of every node, narrowed by `host` and `binary`."""
    view, query, up = request.cluster.view(), request.query, request.driver(Watch).usable()
    host, binary, at_ms = query.get("host"), query.get("binary"), now_ms()
    found = [
        service_view(view, node, name, up, at_ms, request.microversion)
        for node, name in every_service(view)
        if binary in (None, "", name) and host in (None, "", node.name, service_host(node, name))
    ]
    return Response(body={"services": found})


def _node(request: Request, host: str) -> Node | None:
    """The node that Cinder's name for a host means, with or without the backend and the pool."""
    name = host.partition("@")[0]
    return next((node for node in members(request.cluster.view()) if node.name == name), None)


async def _switch(request: Request, disabled: bool, *, needs_reason: bool = False) -> tuple[dict[str, object], str]:
    body = await request.json(SwitchBody)
    binary = body.binary or body.service
    if not binary:
        raise Invalid("Missing required element 'binary' or 'service' in request body.")
    reason = inputs.text(body.disabled_reason, "disabled_reason").strip()
    if needs_reason and not reason:
        raise Invalid("Disabled reason contains invalid characters or is empty: say why the service is disabled.")
    node = _node(request, body.host)
    if node is None or binary not in BINARIES:
        raise NotFound(f"Service {binary[:64]} could not be found on host {body.host[:255]}.")
    await request.cluster.propose(
        SetSwitch(binary=binary, node_id=node.id, disabled=disabled, reason=reason, now_ms=now_ms())
    )
    return switched(node, switch_of(request.cluster.view(), binary, node.id)), reason


async def enable(request: Request) -> Response:
    """New volumes may be placed on the node again."""
    body, _ = await _switch(request, disabled=False)
    return Response(body=body | {"disabled_reason": None})


async def disable(request: Request) -> Response:
    """No new volumes are placed on the node; what it has stays."""
    body, _ = await _switch(request, disabled=True)
    return Response(body=body)


async def disable_with_reason(request: Request) -> Response:
    """The same, saying why."""
    body, reason = await _switch(request, disabled=True, needs_reason=True)
    return Response(body=body | {"disabled_reason": reason})


async def freeze(request: Request) -> Response:
    """The node gets no new volumes until it is thawed."""
    return await _freeze(request, frozen=True)


async def thaw(request: Request) -> Response:
    """It may get some again."""
    return await _freeze(request, frozen=False)


async def _freeze(request: Request, *, frozen: bool) -> Response:
    host = (await request.json(SwitchBody)).host
    node = _node(request, host)
    if node is None:
        raise Invalid(f"Unable to find a {VOLUME} on host {host[:255]}.")
    await request.cluster.propose(SetSwitch(binary=VOLUME, node_id=node.id, frozen=frozen, now_ms=now_ms()))
    return Response()


async def list_hosts(request: Request) -> Response:
    """Every part of every node, in the older form."""
    view, up, at_ms = request.cluster.view(), request.driver(Watch).usable(), now_ms()
    wanted = request.query.get("service")
    found = [
        host_entry(view, node, name, up, at_ms) for node, name in every_service(view) if wanted in (None, "", name)
    ]
    return Response(body={"hosts": found})


async def show_host(request: Request) -> Response:
    """What lies on a node."""
    host = request.params["host"]
    node = _node(request, host)
    if node is None:
        raise NotFound(f"Host {host[:255]} could not be found.")
    return Response(body=host_detail(request.cluster.view(), node))


async def list_pools(request: Request) -> Response:
    """The disks of every node as one pool each; with `detail`, what they can do and hold."""
    view, query = request.cluster.view(), request.query
    detail = inputs.flag(query.get("detail", "false"), "detail")
    wanted = query.get("name") if request.microversion >= POOL_FILTERS_SINCE else None
    at_ms = now_ms()
    pools = [
        pool_view(view, node, at_ms) if detail else {"name": pool_name(node)}
        for node in members(view)
        if wanted in (None, pool_name(node))
    ]
    return Response(body={"pools": pools})


async def show_capabilities(request: Request) -> Response:
    """What the backend of a node can do."""
    host = request.params["host"]
    node = _node(request, host)
    if node is None:
        raise NotFound(f"Can't find service: no backend {host[:255]}.")
    return Response(body=capabilities_view(node))


async def fail_over(request: Request) -> Response:
    """Cinder's replication is of a whole backend to another, by hand."""
    await request.json(FailoverBody)
    raise Invalid(
        "Invalid input received: there is no other backend to fail over to. Each volume has its replicas on several"
        " nodes, and goes on without one by itself."
    )


async def switch_cluster(request: Request) -> Response:
    """There is none to switch."""
    name = (await request.json(ClusterBody)).name
    raise NotFound(f"Cluster {name[:255]} could not be found.")


async def change_log_levels(request: Request) -> Response:
    """The daemon writes one log, at one level."""
    await request.json(LogLevelBody)
    raise Invalid(
        "Invalid input received: levels of logs are neither shown nor changed here. A node's daemon writes one log, to"
        " its journal (journalctl -u noded), with the request id of each line."
    )


async def list_manageable(request: Request) -> Response:
    """What lies on a backend and is no volume or snapshot yet: nothing does, since the pool's disks are only ours."""
    host = request.query.get("host", "")
    if _node(request, host) is None:
        raise Invalid(f"Invalid input received: Invalid host: there is no backend {host[:255]!r}.")
    nothing: list[Any] = []
    noun = "manageable-snapshots" if "manageable_snapshots" in request.path else "manageable-volumes"
    return Response(body={noun: nothing})


async def list_extensions(request: Request) -> Response:  # noqa: ARG001  # every handler takes the request
    """What is offered beside volumes themselves."""
    return Response(body={"extensions": offers.extensions()})


async def show_extension(request: Request) -> Response:
    """One of those."""
    alias = request.params["alias"]
    for extension in offers.extensions():
        if extension["alias"] == alias:
            return Response(body={"extension": extension})
    raise NotFound(f"Extension {alias[:255]} could not be found.")


async def list_filters(request: Request) -> Response:
    """By which words lists can be narrowed."""
    wanted = request.query.get("resource")
    found = [entry for entry in offers.resource_filters() if wanted in (None, entry["resource"])]
    return Response(body={"resource_filters": found})


async def list_clusters(request: Request) -> Response:  # noqa: ARG001  # every handler takes the request
    """Cinder's clusters are backends that several hosts serve; here every node serves its own disks."""
    clusters: list[Any] = []
    return Response(body={"clusters": clusters})


async def show_cluster(request: Request) -> Response:
    """There is none."""
    raise NotFound(f"Cluster {request.params['name'][:255]} could not be found.")


async def clean_up(request: Request) -> Response:
    """Nothing is ever left unfinished by a host that died: reconcilers take every record up again by themselves."""
    asked = await request.json(CleanupBody)
    if asked.resource_type not in (None, "Volume", "Snapshot"):
        raise Invalid("Invalid input for field/attribute resource_type. It is Volume or Snapshot.")
    nothing: list[Any] = []
    return Response(body={"cleaning": nothing, "unavailable": nothing})


_SERVICES = "/v3/os-services"

ROUTES = (
    Route(verb="GET", path=_SERVICES, handler=list_services, allow=Allow.ADMIN),
    Route(verb="PUT", path=_SERVICES + "/enable", handler=enable, allow=Allow.ADMIN),
    Route(verb="PUT", path=_SERVICES + "/disable", handler=disable, allow=Allow.ADMIN),
    Route(verb="PUT", path=_SERVICES + "/disable-log-reason", handler=disable_with_reason, allow=Allow.ADMIN),
    Route(verb="PUT", path=_SERVICES + "/freeze", handler=freeze, allow=Allow.ADMIN),
    Route(verb="PUT", path=_SERVICES + "/thaw", handler=thaw, allow=Allow.ADMIN),
    Route(verb="GET", path="/v3/os-hosts", handler=list_hosts, allow=Allow.ADMIN),
    Route(verb="GET", path="/v3/os-hosts/{host}", handler=show_host, allow=Allow.ADMIN),
    Route(verb="GET", path="/v3/scheduler-stats/get_pools", handler=list_pools, allow=Allow.ADMIN),
    Route(verb="GET", path="/v3/capabilities/{host}", handler=show_capabilities, allow=Allow.ADMIN),
    Route(verb="GET", path="/v3/extensions", handler=list_extensions, allow=Allow.READER),
    Route(verb="GET", path="/v3/extensions/{alias}", handler=show_extension, allow=Allow.READER),
    Route(verb="GET", path="/v3/resource_filters", handler=list_filters, allow=Allow.READER, since=FILTERS_SINCE),
    Route(verb="GET", path="/v3/clusters", handler=list_clusters, allow=Allow.ADMIN, since=CLUSTERS_SINCE),
    Route(verb="GET", path="/v3/clusters/detail", handler=list_clusters, allow=Allow.ADMIN, since=CLUSTERS_SINCE),
    Route(verb="GET", path="/v3/clusters/{name}", handler=show_cluster, allow=Allow.ADMIN, since=CLUSTERS_SINCE),
    *(
        Route(verb="PUT", path="/v3/clusters/" + word, handler=switch_cluster, allow=Allow.ADMIN, since=CLUSTERS_SINCE)
        for word in ("enable", "disable")
    ),
    Route(verb="PUT", path=_SERVICES + "/failover_host", handler=fail_over, allow=Allow.ADMIN),
    Route(verb="PUT", path=_SERVICES + "/failover", handler=fail_over, allow=Allow.ADMIN, since=FAILOVER_SINCE),
    *(
        Route(verb="PUT", path=_SERVICES + word, handler=change_log_levels, allow=Allow.ADMIN, since=LOG_LEVELS_SINCE)
        for word in ("/get-log", "/set-log")
    ),
    *(
        Route(verb="GET", path="/v3/" + path, handler=list_manageable, allow=Allow.ADMIN, since=MANAGEABLE_SINCE)
        for noun in ("manageable_volumes", "manageable_snapshots")
        for path in (noun, noun + "/detail")
    ),
    *(
        Route(
            verb=verb,
            path="/v3/workers/cleanup",
            handler=clean_up,
            allow=Allow.ADMIN,
            done=Done.ACCEPTED,
            since=CLEANUP_SINCE,
        )
        for verb in ("POST", "PUT")  # openstacksdk puts it
    ),
)
