"""What the flavor routes do. Everyone signed in reads the public ones; administrators make and remove them."""

import re

from msgspec import UNSET, UnsetType, field

from compute import inputs
from compute.flavors.commands import CreateFlavor, DeleteFlavor, DescribeFlavor, SetFlavorAccess, SetFlavorSpecs
from compute.flavors.model import Flavor
from compute.flavors.views import DESCRIPTION_SINCE, access_list, flavor_brief, flavor_detail, specs_body
from compute.inputs import Body, Flag, Number
from compute.pages import page
from noded.core import dice
from noded.core.errors import Conflict, Invalid, NotFound
from noded.core.ids import FlavorId, ProjectId
from noded.core.route import Allow, Done, Request, Response, Route

_FLAVOR_ID = re.compile(r"[A-Za-z0-9._\- ]{1,255}")
_SPEC_KEY = re.compile(r"[A-Za-z0-9._\-: ]{1,255}")


class NewFlavor(Body, frozen=True):
    """The body of a creation."""

    name: str
    ram: Number
    vcpus: Number
    disk: Number
    id: Number | None = None
    ephemeral: Number = field(default=0, name="OS-FLV-EXT-DATA:ephemeral")
    swap: Number = 0
    rxtx_factor: float | str = 1.0
    is_public: Flag = field(default=True, name="os-flavor-access:is_public")
    description: str | UnsetType | None = UNSET


class NewFlavorBody(Body, frozen=True):
    """Its wrapper."""

    flavor: NewFlavor


class FlavorChange(Body, frozen=True):
    """The body of a change: only the words may change."""

    description: str | None


class FlavorChangeBody(Body, frozen=True):
    """Its wrapper."""

    flavor: FlavorChange


class SpecsBody(Body, frozen=True):
    """Extra specs to set."""

    extra_specs: dict[str, str | int | float]


class Project(Body, frozen=True):
    """Whom an access action is about."""

    tenant: str


class AccessBody(Body, frozen=True):
    """One of the two access actions."""

    add: Project | None = field(default=None, name="addTenantAccess")
    remove: Project | None = field(default=None, name="removeTenantAccess")


def _visible(request: Request, flavor_id: str) -> Flavor:
    flavor = request.cluster.view().get(Flavor, flavor_id)
    if flavor is None or not (flavor.is_open_to(request.caller.project_id) or request.caller.is_admin):
        raise NotFound(f"Flavor {flavor_id[:255]} could not be found.")
    return flavor


def _listed(request: Request) -> list[Flavor]:
    flavors = sorted(request.cluster.view().all(Flavor), key=lambda flavor: (flavor.memory_mib, flavor.id))
    public = request.query.get("is_public", "")
    if request.caller.is_admin and public.lower() == "none":
        chosen = flavors
    elif request.caller.is_admin and public and not inputs.flag(public, "is_public"):
        chosen = [flavor for flavor in flavors if not flavor.is_public]
    else:
        chosen = [flavor for flavor in flavors if flavor.is_open_to(request.caller.project_id)]
    disk_min = inputs.number(request.query.get("minDisk", 0), "minDisk")
    memory_min = inputs.number(request.query.get("minRam", 0), "minRam")
    return [flavor for flavor in chosen if flavor.root_gib >= disk_min and flavor.memory_mib >= memory_min]


async def list_flavors(request: Request) -> Response:
    """The short list."""
    flavors, links = page(request, _listed(request), lambda flavor: flavor.id)
    body: dict[str, object] = {
        "flavors": [flavor_brief(flavor, request.base_url, request.microversion) for flavor in flavors]
    }
    return Response(body=body | ({"flavors_links": links} if links else {}))


async def list_flavors_detail(request: Request) -> Response:
    """The full list."""
    flavors, links = page(request, _listed(request), lambda flavor: flavor.id)
    body: dict[str, object] = {
        "flavors": [flavor_detail(flavor, request.base_url, request.microversion) for flavor in flavors]
    }
    return Response(body=body | ({"flavors_links": links} if links else {}))


async def show_flavor(request: Request) -> Response:
    """One flavor."""
    flavor = _visible(request, request.params["flavor_id"])
    return Response(body={"flavor": flavor_detail(flavor, request.base_url, request.microversion)})


async def create_flavor(request: Request) -> Response:
    """A new size. Unlike most creations Nova answers it with a plain success."""
    new = (await request.json(NewFlavorBody)).flavor
    inputs.allowed_since(new, {"description": DESCRIPTION_SINCE}, request.microversion)
    flavor_id = FlavorId(dice.new_uuid() if new.id in (None, "auto") else str(new.id))
    if not _FLAVOR_ID.fullmatch(flavor_id) or flavor_id != flavor_id.strip():
        raise Invalid("Flavor id must only contain alphanumeric characters, periods, hyphens, underscores and spaces.")
    await request.cluster.propose(
        CreateFlavor(
            flavor_id=flavor_id,
            name=inputs.name(new.name),
            description=inputs.description(None if new.description is UNSET else new.description),
            vcpus=inputs.number(new.vcpus, "vcpus", lowest=1),
            memory_mib=inputs.number(new.ram, "ram", lowest=1),
            root_gib=inputs.number(new.disk, "disk"),
            ephemeral_gib=inputs.number(new.ephemeral, "ephemeral"),
            swap_mib=inputs.number(new.swap or 0, "swap"),
            rxtx_factor=_rxtx_factor(new.rxtx_factor),
            is_public=inputs.flag(new.is_public, "os-flavor-access:is_public"),
        )
    )
    flavor = request.cluster.view().need(Flavor, flavor_id)
    return Response(body={"flavor": flavor_detail(flavor, request.base_url, request.microversion)})


def _rxtx_factor(value: float | str) -> float:
    try:
        factor = float(value)
    except ValueError:
        raise Invalid(f"Invalid input for field/attribute rxtx_factor. Value: {str(value)[:64]}.") from None
    if not 0 < factor <= 1e9:
        raise Invalid(f"Invalid input for field/attribute rxtx_factor. Value: {factor}. It must be above zero.")
    return factor


async def update_flavor(request: Request) -> Response:
    """New words for a flavor."""
    if request.microversion < DESCRIPTION_SINCE:
        raise NotFound("The resource could not be found.")
    change = (await request.json(FlavorChangeBody)).flavor
    flavor = _visible(request, request.params["flavor_id"])
    await request.cluster.propose(
        DescribeFlavor(flavor_id=flavor.id, description=inputs.description(change.description))
    )
    return await show_flavor(request)


async def delete_flavor(request: Request) -> Response:
    """Take a size away."""
    flavor = _visible(request, request.params["flavor_id"])
    await request.cluster.propose(DeleteFlavor(flavor_id=flavor.id))
    return Response()


async def list_specs(request: Request) -> Response:
    """Every extra spec of a flavor."""
    return Response(body=specs_body(_visible(request, request.params["flavor_id"]).extra_specs))


async def show_spec(request: Request) -> Response:
    """One extra spec."""
    flavor, key = _visible(request, request.params["flavor_id"]), request.params["key"]
    if key not in flavor.extra_specs:
        raise NotFound(f"Flavor {flavor.id} has no extra specs with key {key[:255]}.")
    return Response(body={key: flavor.extra_specs[key]})


async def set_specs(request: Request) -> Response:
    """Add or change extra specs."""
    flavor = _visible(request, request.params["flavor_id"])
    changed = _checked_specs((await request.json(SpecsBody)).extra_specs)
    await request.cluster.propose(SetFlavorSpecs(flavor_id=flavor.id, changed=changed))
    return Response(body=specs_body(changed))


async def set_spec(request: Request) -> Response:
    """Change one extra spec; the body names the same key as the path."""
    flavor, key = _visible(request, request.params["flavor_id"]), request.params["key"]
    changed = _checked_specs(await request.json(dict[str, str | int | float]))
    if set(changed) != {key}:
        raise Invalid("Request body and URI mismatch")
    await request.cluster.propose(SetFlavorSpecs(flavor_id=flavor.id, changed=changed))
    return Response(body=changed)


def _checked_specs(specs: dict[str, str | int | float]) -> dict[str, str]:
    for key, value in specs.items():
        if not _SPEC_KEY.fullmatch(key) or len(str(value)) > inputs.NAME_LENGTH_MAX:
            raise Invalid(f"Invalid input for field/attribute {key[:64]}: key and value have at most 255 characters.")
    return {key: str(value) for key, value in sorted(specs.items())}


async def delete_spec(request: Request) -> Response:
    """Remove one extra spec."""
    flavor = _visible(request, request.params["flavor_id"])
    await request.cluster.propose(SetFlavorSpecs(flavor_id=flavor.id, removed=(request.params["key"],)))
    return Response()


async def list_access(request: Request) -> Response:
    """Which projects may use a flavor that is not public."""
    flavor = _visible(request, request.params["flavor_id"])
    if flavor.is_public:
        raise NotFound("Access list not available for public flavors.")
    return Response(body=access_list(flavor))


async def act_on_flavor(request: Request) -> Response:
    """Let a project use a flavor, or no longer."""
    body = await request.json(AccessBody)
    flavor = _visible(request, request.params["flavor_id"])
    chosen = body.add or body.remove
    if chosen is None or (body.add and body.remove):
        raise Invalid("Name exactly one action: addTenantAccess or removeTenantAccess.")
    if flavor.is_public and body.add is not None:
        raise Conflict("Can not add access to a public flavor.")
    await request.cluster.propose(
        SetFlavorAccess(flavor_id=flavor.id, project_id=ProjectId(chosen.tenant), allowed=body.add is not None)
    )
    return Response(body=access_list(request.cluster.view().need(Flavor, flavor.id)))


ROUTES = (
    Route(verb="GET", path="/flavors", handler=list_flavors, allow=Allow.READER),
    Route(verb="POST", path="/flavors", handler=create_flavor, allow=Allow.ADMIN),
    Route(verb="GET", path="/flavors/detail", handler=list_flavors_detail, allow=Allow.READER),
    Route(verb="GET", path="/flavors/{flavor_id}", handler=show_flavor, allow=Allow.READER),
    Route(verb="PUT", path="/flavors/{flavor_id}", handler=update_flavor, allow=Allow.ADMIN),
    Route(
        verb="DELETE",
        path="/flavors/{flavor_id}",
        handler=delete_flavor,
        allow=Allow.ADMIN,
        done=Done.ACCEPTED,
    ),
    Route(verb="GET", path="/flavors/{flavor_id}/os-extra_specs", handler=list_specs, allow=Allow.READER),
    Route(verb="POST", path="/flavors/{flavor_id}/os-extra_specs", handler=set_specs, allow=Allow.ADMIN),
    Route(verb="GET", path="/flavors/{flavor_id}/os-extra_specs/{key}", handler=show_spec, allow=Allow.READER),
    Route(verb="PUT", path="/flavors/{flavor_id}/os-extra_specs/{key}", handler=set_spec, allow=Allow.ADMIN),
    Route(verb="DELETE", path="/flavors/{flavor_id}/os-extra_specs/{key}", handler=delete_spec, allow=Allow.ADMIN),
    Route(verb="GET", path="/flavors/{flavor_id}/os-flavor-access", handler=list_access, allow=Allow.ADMIN),
    Route(verb="POST", path="/flavors/{flavor_id}/action", handler=act_on_flavor, allow=Allow.ADMIN),
)
