"""Answers /services, /endpoints and /regions: what there is follows from the APIs that the node serves."""

from noded.core.errors import NotFound
from noded.core.route import Allow, Request, Response, Route
from noded.gateway.catalog import REGION, Catalog, CatalogEndpoint, CatalogService, url
from noded.identity import views
from noded.identity.listing import listing


async def list_services(request: Request) -> Response:
    """GET /services, by `type` and `name`."""
    query = request.query
    entries = [
        _service(request, service)
        for service in request.driver(Catalog).services
        if query.get("type", service.type) == service.type and query.get("name", service.name) == service.name
    ]
    return Response(body=listing("services", entries, views.link(request.base_url, "services")))


async def show_service(request: Request) -> Response:
    """GET /services/{service_id}."""
    wanted = request.params["service_id"]
    for service in request.driver(Catalog).services:
        if service.id == wanted:
            return Response(body={"service": _service(request, service)})
    raise NotFound.of("service", wanted)


async def list_endpoints(request: Request) -> Response:
    """GET /endpoints, by `service_id`, `interface` and `region_id`."""
    query = request.query
    entries = [
        _endpoint(request, endpoint)
        for service in request.driver(Catalog).services
        for endpoint in service.endpoints
        if query.get("service_id", service.id) == service.id
        and query.get("interface", endpoint.interface) == endpoint.interface
        and query.get("region_id", REGION) == REGION
    ]
    return Response(body=listing("endpoints", entries, views.link(request.base_url, "endpoints")))


async def show_endpoint(request: Request) -> Response:
    """GET /endpoints/{endpoint_id}."""
    wanted = request.params["endpoint_id"]
    for service in request.driver(Catalog).services:
        for endpoint in service.endpoints:
            if endpoint.id == wanted:
                return Response(body={"endpoint": _endpoint(request, endpoint)})
    raise NotFound.of("endpoint", wanted)


async def list_regions(request: Request) -> Response:
    """GET /regions: the one there is."""
    return Response(body=listing("regions", [_region(request)], views.link(request.base_url, "regions")))


async def show_region(request: Request) -> Response:
    """GET /regions/{region_id}."""
    if request.params["region_id"] != REGION:
        raise NotFound.of("region", request.params["region_id"])
    return Response(body={"region": _region(request)})


def _service(request: Request, service: CatalogService) -> dict[str, object]:
    return {
        "id": service.id,
        "type": service.type,
        "name": service.name,
        "description": "",
        "enabled": True,
        "links": {"self": views.link(request.base_url, "services", service.id)},
    }


def _endpoint(request: Request, endpoint: CatalogEndpoint) -> dict[str, object]:
    return {
        "id": endpoint.id,
        "service_id": endpoint.service_id,
        "interface": endpoint.interface,
        "region": REGION,
        "region_id": REGION,
        "url": url(endpoint, request.base_url, None).replace("{project_id}", "%(project_id)s"),
        "enabled": True,
        "links": {"self": views.link(request.base_url, "endpoints", endpoint.id)},
    }


def _region(request: Request) -> dict[str, object]:
    return {
        "id": REGION,
        "description": "",
        "parent_region_id": None,
        "links": {"self": views.link(request.base_url, "regions", REGION)},
    }


ROUTES = (
    Route(verb="GET", path="/services", handler=list_services, allow=Allow.ADMIN),
    Route(verb="GET", path="/services/{service_id}", handler=show_service, allow=Allow.ADMIN),
    Route(verb="GET", path="/endpoints", handler=list_endpoints, allow=Allow.ADMIN),
    Route(verb="GET", path="/endpoints/{endpoint_id}", handler=show_endpoint, allow=Allow.ADMIN),
    Route(verb="GET", path="/regions", handler=list_regions, allow=Allow.ANY_TOKEN),
    Route(verb="GET", path="/regions/{region_id}", handler=show_region, allow=Allow.ANY_TOKEN),
)
