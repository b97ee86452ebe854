"""What the quota routes do (Cinder v3, "Quota sets extension", "Quota class set extension", "Limits")."""

from noded.core.errors import Forbidden, Invalid
from noded.core.ids import ProjectId
from noded.core.route import Allow, Request, Response, Route
from storage import inputs
from storage.inputs import Body, Number
from storage.quota_sets.views import class_set, limits_view, quota_set, resources, usage_set
from storage.quotas.commands import ResetQuota, SetQuota
from storage.quotas.model import LIMIT_MAX, UNLIMITED, class_key

LIMITS_OF_OTHERS_SINCE = (3, 39)


class QuotaSetBody(Body, frozen=True):
    """Limits to set; clients send the set's own id with them."""

    quota_set: dict[str, Number | None]


class QuotaClassBody(Body, frozen=True):
    """Limits of a class to set."""

    quota_class_set: dict[str, Number | None]


def _project(request: Request) -> ProjectId:
    """The project that the path names: the caller's own, or for an administrator any."""
    project_id = ProjectId(request.params["owner"])
    if project_id != request.caller.project_id and not request.caller.is_admin:
        raise Forbidden("The quota of another project is for administrators to see.")
    return project_id


async def show_quota(request: Request) -> Response:
    """What a project may use; with `usage`, what it uses too."""
    project_id, view = _project(request), request.cluster.view()
    with_usage = inputs.flag(request.query.get("usage", "false"), "usage")
    return Response(body={"quota_set": (usage_set if with_usage else quota_set)(view, project_id)})


async def show_defaults(request: Request) -> Response:
    """What a project may use for which nothing was set."""
    found = class_set(request.cluster.view(), "default")
    return Response(body={"quota_set": {"id": _project(request)} | found})


async def update_quota(request: Request) -> Response:
    """Limits of a project; what is not named stays."""
    body = await request.json(QuotaSetBody)
    project_id = ProjectId(inputs.name(request.params["owner"], "project_id"))
    limits = _limits(request, body.quota_set, ("tenant_id", "project_id", "id"))
    await request.cluster.propose(SetQuota(owner=project_id, limits=limits))
    shown = quota_set(request.cluster.view(), project_id)
    del shown["id"]
    return Response(body={"quota_set": shown})


async def delete_quota(request: Request) -> Response:
    """The defaults hold for the project again."""
    await request.cluster.propose(ResetQuota(project_id=ProjectId(request.params["owner"])))
    return Response()


async def show_class(request: Request) -> Response:
    """The limits of a class."""
    name = request.params["name"]
    return Response(body={"quota_class_set": {"id": name} | class_set(request.cluster.view(), name)})


async def update_class(request: Request) -> Response:
    """Set the limits of a class; those of `default` hold for every project for which nothing was set."""
    body, name = await request.json(QuotaClassBody), inputs.name(request.params["name"])
    limits = _limits(request, body.quota_class_set, ("class_name", "id"))
    await request.cluster.propose(SetQuota(owner=class_key(name), limits=limits))
    return Response(body={"quota_class_set": class_set(request.cluster.view(), name)})


def _limits(request: Request, given: dict[str, Number | None], beside: tuple[str, ...]) -> dict[str, int]:
    known = {*resources(request.cluster.view())}
    limits: dict[str, int] = {}
    for name, value in given.items():
        if name in beside:
            continue
        if name not in known:
            raise Invalid(f"Bad key(s) in quota set: {name[:64]}. A quota is one of {', '.join(sorted(known))}.")
        if value is None:
            raise Invalid(f"Quota limit {name} must be a whole number; -1 is unlimited.")
        limits[name] = inputs.number(value, name, lowest=UNLIMITED, highest=LIMIT_MAX)
    return limits


async def show_limits(request: Request) -> Response:
    """How much the project has, and may have; an administrator may name another project."""
    caller, query = request.caller, request.query
    asked = query.get("project_id", query.get("tenant_id"))
    another = asked is not None and caller.is_admin and request.microversion >= LIMITS_OF_OTHERS_SINCE
    project_id = asked if asked is not None and another else caller.project
    return Response(body=limits_view(request.cluster.view(), project_id))


_SET = "/v3/os-quota-sets/{owner}"
_CLASS = "/v3/os-quota-class-sets/{name}"

ROUTES = (
    Route(verb="GET", path=_SET, handler=show_quota, allow=Allow.READER),
    Route(verb="GET", path=_SET + "/defaults", handler=show_defaults, allow=Allow.READER),
    Route(verb="PUT", path=_SET, handler=update_quota, allow=Allow.ADMIN),
    Route(verb="DELETE", path=_SET, handler=delete_quota, allow=Allow.ADMIN),
    Route(verb="GET", path=_CLASS, handler=show_class, allow=Allow.ADMIN),
    Route(verb="PUT", path=_CLASS, handler=update_class, allow=Allow.ADMIN),
    Route(verb="GET", path="/v3/limits", handler=show_limits, allow=Allow.READER),
)
