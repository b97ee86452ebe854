"""Answers /policies, and which policy an endpoint, a service, or a service in a region has (OS-ENDPOINT-POLICY)."""

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

from noded.core.dice import new_hex_id
from noded.core.errors import NotFound
from noded.core.route import Allow, Done, Request, Response, Route
from noded.gateway.catalog import Catalog
from noded.identity.attributes import Name255, read
from noded.identity.listing import chosen, listed
from noded.identity.offers import all_endpoints, endpoint_body, need_endpoint, need_service
from noded.identity.places import need_region, regions_below
from noded.identity.policies.commands import CreatePolicy, DeletePolicy, LinkPolicy, UnlinkPolicy, UpdatePolicy
from noded.identity.policies.model import Policy, PolicyLink, policy_for, target_id
from noded.identity.views import link

Blob = Annotated[str, msgspec.Meta(max_length=256 * 1024)]


class PolicyBody(msgspec.Struct, frozen=True):
    """`{"policy": {...}}`."""

    policy: dict[str, Any]


class PolicyForm(msgspec.Struct, frozen=True):
    """A new policy."""

    type: Name255
    blob: Blob


class PolicyChange(msgspec.Struct, frozen=True):
    """What shall be different."""

    type: Name255 | msgspec.UnsetType = msgspec.UNSET
    blob: Blob | msgspec.UnsetType = msgspec.UNSET


async def create_policy(request: Request) -> Response:
    """POST /policies."""
    form, extra = read((await request.json(PolicyBody)).policy, PolicyForm)
    policy_id = new_hex_id()
    await request.cluster.propose(CreatePolicy(policy_id=policy_id, type=form.type, blob=form.blob, extra=extra))
    return _answer(request, policy_id)


async def list_policies(request: Request) -> Response:
    """GET /policies, by `type`."""
    entries = [_body(request.base_url, policy) for policy in request.cluster.view().all(Policy)]
    found = chosen(entries, request.query, ("type",))
    return listed(request, "policies", found, link(request.base_url, "policies"))


async def show_policy(request: Request) -> Response:
    """GET /policies/{policy_id}."""
    return _answer(request, request.params["policy_id"])


async def update_policy(request: Request) -> Response:
    """PATCH /policies/{policy_id}."""
    change, extra = read((await request.json(PolicyBody)).policy, PolicyChange)
    policy_id = request.params["policy_id"]
    await request.cluster.propose(UpdatePolicy(policy_id=policy_id, type=change.type, blob=change.blob, extra=extra))
    return _answer(request, policy_id)


async def delete_policy(request: Request) -> Response:
    """DELETE /policies/{policy_id}."""
    await request.cluster.propose(DeletePolicy(policy_id=request.params["policy_id"]))
    return Response()


async def link_policy(request: Request) -> Response:
    """PUT …/endpoints/{endpoint_id}, …/services/{service_id} and …/services/{service_id}/regions/{region_id}."""
    target = _target(request)
    params = request.params
    await request.cluster.propose(
        LinkPolicy(
            policy_id=params["policy_id"],
            target=target,
            endpoint_id=params.get("endpoint_id"),
            service_id=params.get("service_id"),
            region_id=params.get("region_id"),
        )
    )
    return Response()


async def check_policy_link(request: Request) -> Response:
    """GET and HEAD of the same."""
    held = request.cluster.view().get(PolicyLink, _target(request))
    if held is None or held.policy_id != request.params["policy_id"]:
        raise NotFound(f"Could not find policy association: {request.params['policy_id']} is not the policy there.")
    return Response()


async def unlink_policy(request: Request) -> Response:
    """DELETE of the same."""
    await request.cluster.propose(UnlinkPolicy(policy_id=request.params["policy_id"], target=_target(request)))
    return Response()


async def list_policy_endpoints(request: Request) -> Response:
    """GET /policies/{policy_id}/OS-ENDPOINT-POLICY/endpoints."""
    view, catalog = request.cluster.view(), request.driver(Catalog)
    policy = view.need(Policy, request.params["policy_id"])
    links = view.find(PolicyLink, "policy_id", policy.id)
    endpoint_ids = {each.endpoint_id for each in links}
    everywhere = {each.service_id for each in links if each.region_id is None}
    in_regions = {
        (each.service_id, region_id)
        for each in links
        if each.region_id is not None
        for region_id in (each.region_id, *(region.id for region in regions_below(view, each.region_id)))
    }
    entries = [
        endpoint_body(request.base_url, endpoint)
        for endpoint in all_endpoints(view, catalog)
        if endpoint.record.id in endpoint_ids
        or endpoint.record.service_id in everywhere
        or (endpoint.record.service_id, endpoint.record.region_id) in in_regions
    ]
    own_url = link(request.base_url, "policies", policy.id, "OS-ENDPOINT-POLICY", "endpoints")
    return listed(request, "endpoints", entries, own_url)


async def show_endpoint_policy(request: Request) -> Response:
    """GET and HEAD /endpoints/{endpoint_id}/OS-ENDPOINT-POLICY/policy."""
    view = request.cluster.view()
    endpoint = need_endpoint(view, request.driver(Catalog), request.params["endpoint_id"]).record
    policy = policy_for(view, endpoint)
    if policy is None:
        raise NotFound(f"No policy is associated with endpoint {endpoint.id}.")
    return Response(body={"policy": _body(request.base_url, policy)})


def _target(request: Request) -> str:
    """What the path names, all of which must be there."""
    view, catalog, params = request.cluster.view(), request.driver(Catalog), request.params
    view.need(Policy, params["policy_id"])
    if "endpoint_id" in params:
        need_endpoint(view, catalog, params["endpoint_id"])
    if "service_id" in params:
        need_service(view, catalog, params["service_id"])
    if "region_id" in params:
        need_region(view, params["region_id"])
    return target_id(params.get("endpoint_id"), params.get("service_id"), params.get("region_id"))


def _body(base_url: str, policy: Policy) -> dict[str, object]:
    links = {"self": link(base_url, "policies", policy.id)}
    return {**policy.extra, "id": policy.id, "type": policy.type, "blob": policy.blob, "links": links}


def _answer(request: Request, policy_id: str) -> Response:
    policy = request.cluster.view().need(Policy, policy_id)
    return Response(body={"policy": _body(request.base_url, policy)})


_ONE = "/policies/{policy_id}"
_LINKS = "/policies/{policy_id}/OS-ENDPOINT-POLICY"
_ENDPOINT = "/endpoints/{endpoint_id}/OS-ENDPOINT-POLICY/policy"


def _link_routes() -> Iterator[Route]:
    for place in ("/endpoints/{endpoint_id}", "/services/{service_id}", "/services/{service_id}/regions/{region_id}"):
        yield Route(verb="PUT", path=_LINKS + place, handler=link_policy, allow=Allow.ADMIN, done=Done.EMPTY)
        yield Route(verb="GET", path=_LINKS + place, handler=check_policy_link, allow=Allow.OVERSEER, done=Done.EMPTY)
        yield Route(verb="DELETE", path=_LINKS + place, handler=unlink_policy, allow=Allow.ADMIN, done=Done.EMPTY)


ROUTES = (
    Route(verb="POST", path="/policies", handler=create_policy, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path="/policies", handler=list_policies, allow=Allow.OVERSEER),
    Route(verb="GET", path=_ONE, handler=show_policy, allow=Allow.OVERSEER),
    Route(verb="PATCH", path=_ONE, handler=update_policy, allow=Allow.ADMIN),
    Route(verb="DELETE", path=_ONE, handler=delete_policy, allow=Allow.ADMIN, done=Done.EMPTY),
    *_link_routes(),
    Route(verb="GET", path=f"{_LINKS}/endpoints", handler=list_policy_endpoints, allow=Allow.OVERSEER),
    Route(verb="GET", path=_ENDPOINT, handler=show_endpoint_policy, allow=Allow.OVERSEER),
)
