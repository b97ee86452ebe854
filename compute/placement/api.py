"""What the hypervisor, service and availability zone routes answer: which nodes there are and what they carry."""

from compute.pages import page
from compute.placement.model import ComputeNode, use_of
from compute.placement.views import (
    BRIEF_SINCE,
    hypervisor_brief,
    hypervisor_detail,
    hypervisor_id,
    service_entry,
    statistics,
    zone_brief,
    zone_detail,
)
from consensus.liveness.links import Watch
from noded.core.errors import NotFound
from noded.core.route import Allow, Request, Response, Route

PAGES_SINCE = (2, 33)


def _nodes(request: Request) -> list[tuple[ComputeNode, bool]]:
    reachable = request.driver(Watch).usable()
    return [(node, node.id in reachable) for node in request.cluster.view().all(ComputeNode)]


def _listed(request: Request) -> tuple[list[tuple[ComputeNode, bool]], dict[str, object]]:
    nodes = _nodes(request)
    pattern = request.query.get("hypervisor_hostname_pattern")
    if pattern is not None:
        nodes = [(node, up) for node, up in nodes if pattern in node.name]
        if not nodes:
            raise NotFound(f"No hypervisor matching '{pattern[:255]}' could be found.")
    if request.microversion < PAGES_SINCE:
        return nodes, {}
    chosen, links = page(request, nodes, lambda each: str(hypervisor_id(each[0], request.microversion)))
    return chosen, {"hypervisors_links": links} if links else {}


async def list_hypervisors(request: Request) -> Response:
    """The short list."""
    nodes, links = _listed(request)
    body: dict[str, object] = {"hypervisors": [hypervisor_brief(node, up, request.microversion) for node, up in nodes]}
    return Response(body=body | links)


async def list_hypervisors_detail(request: Request) -> Response:
    """The full list."""
    view = request.cluster.view()
    nodes, links = _listed(request)
    body: dict[str, object] = {
        "hypervisors": [hypervisor_detail(node, use_of(view, node.id), up, request.microversion) for node, up in nodes]
    }
    return Response(body=body | links)


async def show_statistics(request: Request) -> Response:
    """All hypervisors as one."""
    if request.microversion >= BRIEF_SINCE:
        raise NotFound("The resource could not be found.")
    view = request.cluster.view()
    nodes = [node for node, _ in _nodes(request)]
    return Response(body={"hypervisor_statistics": statistics(nodes, [use_of(view, node.id) for node in nodes])})


async def show_hypervisor(request: Request) -> Response:
    """One hypervisor, by the id that the microversion gives it."""
    asked, version = request.params["hypervisor_id"], request.microversion
    for node, up in _nodes(request):
        if asked == str(hypervisor_id(node, version)):
            use = use_of(request.cluster.view(), node.id)
            return Response(body={"hypervisor": hypervisor_detail(node, use, up, version)})
    raise NotFound(f"Hypervisor with ID '{asked[:255]}' could not be found.")


async def list_services(request: Request) -> Response:
    """Every node as a service, narrowed by `host` and `binary`."""
    host, binary = request.query.get("host"), request.query.get("binary")
    nodes = [(node, up) for node, up in _nodes(request) if host in (None, node.name)]
    if binary not in (None, "nova-compute"):
        nodes = []
    return Response(body={"services": [service_entry(node, up, request.microversion) for node, up in nodes]})


async def list_zones(request: Request) -> Response:
    """The availability zone."""
    return Response(body={"availabilityZoneInfo": [zone_brief(any(up for _, up in _nodes(request)))]})


async def list_zones_detail(request: Request) -> Response:
    """The availability zone with its nodes."""
    return Response(body={"availabilityZoneInfo": [zone_detail(_nodes(request))]})


async def list_aggregates(request: Request) -> Response:  # noqa: ARG001  # a handler's argument
    """Aggregates group nodes by hand; this cloud has none, and clients that describe a node ask for them."""
    return Response(body={"aggregates": []})


ROUTES = (
    Route(verb="GET", path="/os-hypervisors", handler=list_hypervisors, allow=Allow.ADMIN),
    Route(verb="GET", path="/os-hypervisors/detail", handler=list_hypervisors_detail, allow=Allow.ADMIN),
    Route(verb="GET", path="/os-hypervisors/statistics", handler=show_statistics, allow=Allow.ADMIN),
    Route(verb="GET", path="/os-hypervisors/{hypervisor_id}", handler=show_hypervisor, allow=Allow.ADMIN),
    Route(verb="GET", path="/os-aggregates", handler=list_aggregates, allow=Allow.ADMIN),
    Route(verb="GET", path="/os-services", handler=list_services, allow=Allow.ADMIN),
    Route(verb="GET", path="/os-availability-zone", handler=list_zones, allow=Allow.READER),
    Route(verb="GET", path="/os-availability-zone/detail", handler=list_zones_detail, allow=Allow.ADMIN),
)
