"""What the QoS routes do (Cinder v3, "Quality of service (QoS) specifications"). All are for administrators."""

from noded.core import dice
from noded.core.clock import now_ms
from noded.core.errors import Invalid, NotFound
from noded.core.route import Allow, Done, Request, Response, Route
from storage import inputs
from storage.inputs import Body, Plain
from storage.paging import paged
from storage.qos.commands import AssociateQos, CreateQos, DeleteQos, DisassociateQos, SetQosKeys
from storage.qos.model import QosSpecs, types_with
from storage.types.model import get_type


class NewQosBody(Body, frozen=True):
    """Name, consumer, and all other keys as specs."""

    qos_specs: dict[str, Plain]


class KeysBody(Body, frozen=True):
    """Which keys to take out."""

    keys: list[str]


def _found(request: Request) -> QosSpecs:
    qos_id = request.params["qos_id"]
    found = request.cluster.view().get(QosSpecs, qos_id)
    if found is None:
        raise NotFound(f"No such qos spec {qos_id[:255]}.")
    return found


def _body(qos: QosSpecs) -> dict[str, object]:
    return {"id": qos.id, "name": qos.name, "consumer": qos.consumer, "specs": dict(qos.specs)}


def _shown(request: Request, qos: QosSpecs) -> Response:
    base = request.base_url
    links = [
        {"rel": "self", "href": f"{base}/volume/v3/qos-specs/{qos.id}"},
        {"rel": "bookmark", "href": f"{base}/volume/qos-specs/{qos.id}"},
    ]
    return Response(body={"qos_specs": _body(qos), "links": links})


async def list_qos(request: Request) -> Response:
    """Every set of limits."""
    keys = {"id": lambda qos: qos.id, "name": lambda qos: qos.name, "created_at": lambda qos: qos.created_at_ms}
    url = request.base_url + request.path
    every = request.cluster.view().all(QosSpecs)
    page, links = paged(every, request.query, url, keys, word="qos_specs", noun="QoS specs")
    return Response(body={"qos_specs": [_body(qos) for qos in page], **links})


async def show_qos(request: Request) -> Response:
    """One."""
    return _shown(request, _found(request))


async def create_qos(request: Request) -> Response:
    """A new set of limits. Unlike most creations Cinder answers it with a plain success."""
    given = dict((await request.json(NewQosBody)).qos_specs)
    if "name" not in given:
        raise Invalid("Please specify a name for QoS specs.")
    name, consumer = str(given.pop("name")), str(given.pop("consumer", "back-end"))
    qos_id = dice.new_uuid()
    await request.cluster.propose(
        CreateQos(
            qos_id=qos_id,
            name=inputs.name(name),
            consumer=consumer,
            specs=inputs.specs(given, "qos_specs"),
            now_ms=now_ms(),
        )
    )
    return _shown(request, request.cluster.view().need(QosSpecs, qos_id))


async def set_keys(request: Request) -> Response:
    """Add or change limits."""
    given = dict((await request.json(NewQosBody)).qos_specs)
    consumer = given.pop("consumer", None)
    specs = inputs.specs(given, "qos_specs")
    await request.cluster.propose(
        SetQosKeys(qos_id=_found(request).id, changed=specs, consumer=str(consumer) if consumer is not None else None)
    )
    return Response(body={"qos_specs": specs if consumer is None else specs | {"consumer": str(consumer)}})


async def delete_keys(request: Request) -> Response:
    """Remove limits."""
    removed = tuple(dict.fromkeys((await request.json(KeysBody)).keys))
    await request.cluster.propose(SetQosKeys(qos_id=_found(request).id, removed=removed))
    return Response()


async def delete_qos(request: Request) -> Response:
    """Take a set of limits away; with `force`, from the types too that have it."""
    force = inputs.flag(request.query.get("force", "false"), "force")
    await request.cluster.propose(DeleteQos(qos_id=_found(request).id, force=force))
    return Response()


async def list_associations(request: Request) -> Response:
    """Which types have it."""
    types = types_with(request.cluster.view(), _found(request).id)
    found = [{"association_type": "volume_type", "id": kind.id, "name": kind.name} for kind in types]
    return Response(body={"qos_associations": found})


def _type_id(request: Request) -> str:
    type_id = request.query.get("vol_type_id")
    if type_id is None:
        raise Invalid("Volume Type id must not be None: name it as vol_type_id.")
    if get_type(request.cluster.view(), type_id) is None:
        raise NotFound(f"Volume type {type_id[:255]} could not be found.")
    return type_id


async def associate(request: Request) -> Response:
    """Give it to a type."""
    await request.cluster.propose(AssociateQos(qos_id=_found(request).id, type_id=_type_id(request)))
    return Response()


async def disassociate(request: Request) -> Response:
    """Take it from a type."""
    await request.cluster.propose(DisassociateQos(qos_id=_found(request).id, type_id=_type_id(request)))
    return Response()


async def disassociate_all(request: Request) -> Response:
    """Take it from every type."""
    await request.cluster.propose(DisassociateQos(qos_id=_found(request).id))
    return Response()


_ONE = "/v3/qos-specs/{qos_id}"

ROUTES = (
    Route(verb="GET", path="/v3/qos-specs", handler=list_qos, allow=Allow.ADMIN),
    Route(verb="POST", path="/v3/qos-specs", handler=create_qos, allow=Allow.ADMIN),
    Route(verb="GET", path=_ONE, handler=show_qos, allow=Allow.ADMIN),
    Route(verb="PUT", path=_ONE, handler=set_keys, allow=Allow.ADMIN),
    Route(verb="DELETE", path=_ONE, handler=delete_qos, allow=Allow.ADMIN, done=Done.ACCEPTED),
    Route(verb="PUT", path=_ONE + "/delete_keys", handler=delete_keys, allow=Allow.ADMIN, done=Done.ACCEPTED),
    Route(verb="GET", path=_ONE + "/associations", handler=list_associations, allow=Allow.ADMIN),
    Route(verb="GET", path=_ONE + "/associate", handler=associate, allow=Allow.ADMIN, done=Done.ACCEPTED),
    Route(verb="GET", path=_ONE + "/disassociate", handler=disassociate, allow=Allow.ADMIN, done=Done.ACCEPTED),
    Route(verb="GET", path=_ONE + "/disassociate_all", handler=disassociate_all, allow=Allow.ADMIN, done=Done.ACCEPTED),
)
