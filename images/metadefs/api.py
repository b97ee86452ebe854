"""What the routes of metadata definitions do (Glance v2, "Metadata definitions"). Administrators write them."""

from collections.abc import Callable

from msgspec.structs import replace

from images.metadefs import forms, views
from images.metadefs.commands import (
    CHANGED,
    ChangeNamespace,
    CreateNamespace,
    DeleteNamespace,
    NamespaceForm,
    namespace_named,
)
from images.metadefs.listing import listed, resource_types, sees
from images.metadefs.model import Namespace
from images.metadefs.schemas import SCHEMAS
from noded.core import dice
from noded.core.clock import now_ms
from noded.core.errors import Forbidden, NotFound
from noded.core.retry import propose_chosen
from noded.core.route import Allow, Done, Request, Response, Route


async def list_namespaces(request: Request) -> Response:
    """One page of the namespaces that the caller may see."""
    page, links = listed(request.cluster.view(), request.caller, request.query)
    found = [views.namespace_view(namespace) for namespace in page]
    return Response(body={"namespaces": found, "schema": f"{views.SCHEMA_PATH}/namespaces", **links})


async def create_namespace(request: Request) -> Response:
    """A new namespace, with what the body defines in it."""
    body, now = await request.json(forms.NamespaceBody), now_ms()
    form = forms.new_namespace(body, request.caller.project, now)
    await request.cluster.propose(CreateNamespace(namespace_id=dice.new_uuid(), form=form, now_ms=now))
    made = views.whole_view(namespace_named(request.cluster.view(), form.name), "")
    return Response(body=made, headers=_location(request, made["self"]))


async def show_namespace(request: Request) -> Response:
    """One namespace with all in it; `resource_type` writes the properties' names as things of that type have them."""
    namespace = _visible(request)
    return Response(body=views.whole_view(namespace, _prefix(request, namespace)))


async def update_namespace(request: Request) -> Response:
    """New words on the namespace; perhaps a new name."""
    body = await request.json(forms.NamespaceBody)
    id = await _change(request, lambda form: forms.with_words(form, body))
    return Response(body=views.namespace_view(request.cluster.view().need(Namespace, id)))


async def delete_namespace(request: Request) -> Response:
    """The namespace and all in it go."""
    await request.cluster.propose(DeleteNamespace(namespace_id=_writable(request).id))
    return Response()


async def list_properties(request: Request) -> Response:
    """Every property of the namespace, by name."""
    body = {"properties": views.properties_view(_visible(request)), "schema": f"{views.SCHEMA_PATH}/properties"}
    return Response(body=body)


async def create_property(request: Request) -> Response:
    """One more property."""
    body = await request.json(forms.PropertyBody)
    id = await _change(request, lambda form: forms.with_property(form, body.name, body))
    return _property(request, id, body.name)


async def show_property(request: Request) -> Response:
    """One property; with `resource_type` by the name that it has on things of that type."""
    namespace, asked = _visible(request), request.params["property"]
    prefix = _prefix(request, namespace)
    if not asked.startswith(prefix):
        raise NotFound.of("metadata definition property", asked)
    found = forms.need("property", namespace.properties, asked.removeprefix(prefix))
    return Response(body=views.property_view(asked, found))


async def update_property(request: Request) -> Response:
    """Another definition in its place; perhaps of another name."""
    body, old = await request.json(forms.PropertyBody), request.params["property"]
    id = await _change(request, lambda form: forms.with_property(form, body.name, body, instead_of=old))
    return _property(request, id, body.name)


async def delete_property(request: Request) -> Response:
    """One property less."""
    name = request.params["property"]
    await _change(request, lambda form: replace(form, properties=forms.without("property", form.properties, name)))
    return Response()


async def delete_properties(request: Request) -> Response:
    """Every property goes."""
    await _change(request, lambda form: replace(form, properties={}))
    return Response()


async def list_objects(request: Request) -> Response:
    """Every object of the namespace."""
    namespace = _visible(request)
    found = [views.object_view(namespace, name) for name in namespace.objects]
    return Response(body={"objects": found, "schema": f"{views.SCHEMA_PATH}/objects"})


async def create_object(request: Request) -> Response:
    """One more object."""
    body, now = await request.json(forms.ObjectBody), now_ms()
    return _object(request, await _change(request, lambda form: forms.with_object(form, body, now)), body.name)


async def show_object(request: Request) -> Response:
    """One object."""
    namespace, name = _visible(request), request.params["object"]
    forms.need("object", namespace.objects, name)
    return Response(body=views.object_view(namespace, name))


async def update_object(request: Request) -> Response:
    """Another object in its place; perhaps of another name."""
    body, old, now = await request.json(forms.ObjectBody), request.params["object"], now_ms()
    id = await _change(request, lambda form: forms.with_object(form, body, now, instead_of=old))
    return _object(request, id, body.name)


async def delete_object(request: Request) -> Response:
    """One object less."""
    name = request.params["object"]
    await _change(request, lambda form: replace(form, objects=forms.without("object", form.objects, name)))
    return Response()


async def delete_objects(request: Request) -> Response:
    """Every object goes."""
    await _change(request, lambda form: replace(form, objects={}))
    return Response()


async def list_tags(request: Request) -> Response:
    """Every tag of the namespace."""
    return _tags(_visible(request))


async def set_tags(request: Request) -> Response:
    """These tags in the place of all; with `X-Openstack-Append: True` beside them."""
    body, now = await request.json(forms.TagsBody), now_ms()
    beside = request.headers.get("x-openstack-append", "").lower() == "true"

    def changed(form: NamespaceForm) -> NamespaceForm:
        return forms.with_tags(form if beside else replace(form, tags={}), body.tags, now)

    return _tags(request.cluster.view().need(Namespace, await _change(request, changed)))


async def delete_tags(request: Request) -> Response:
    """Every tag goes."""
    await _change(request, lambda form: replace(form, tags={}))
    return Response()


async def create_tag(request: Request) -> Response:
    """One more tag; there is nothing to say of it but its name, so it has no body."""
    name, now = request.params["tag"], now_ms()
    return _tag(request, await _change(request, lambda form: forms.with_tag(form, name, now)), name)


async def show_tag(request: Request) -> Response:
    """One tag."""
    name = request.params["tag"]
    return Response(body=views.tag_view(name, forms.need("tag", _visible(request).tags, name)))


async def update_tag(request: Request) -> Response:
    """Another name for it."""
    body, old, now = await request.json(forms.TagBody), request.params["tag"], now_ms()
    return _tag(
        request, await _change(request, lambda form: forms.with_tag(form, body.name, now, instead_of=old)), body.name
    )


async def delete_tag(request: Request) -> Response:
    """One tag less."""
    name = request.params["tag"]
    await _change(request, lambda form: replace(form, tags=forms.without("tag", form.tags, name)))
    return Response()


async def list_resource_types(request: Request) -> Response:
    """What types of things there are."""
    types = [{"name": name} for name in resource_types(request.cluster.view(), request.caller)]
    return Response(body={"resource_types": types, "schema": f"{views.SCHEMA_PATH}/resource_types"})


async def list_associations(request: Request) -> Response:
    """What types of things the namespace is for."""
    return Response(body={"resource_type_associations": views.associations_view(_visible(request))})


async def create_association(request: Request) -> Response:
    """The namespace is for things of one more type."""
    body, now = await request.json(forms.AssociationBody), now_ms()
    id = await _change(request, lambda form: forms.with_association(form, body, now))
    made = request.cluster.view().need(Namespace, id).associations[body.name]
    return Response(body=views.association_view(body.name, made))


async def delete_association(request: Request) -> Response:
    """The namespace is no longer for things of that type."""
    name = request.params["resource_type"]

    def changed(form: NamespaceForm) -> NamespaceForm:
        return replace(form, associations=forms.without("resource type association", form.associations, name))

    await _change(request, changed)
    return Response()


async def show_schema(request: Request) -> Response:
    """The JSON schema of a kind of definition, or of a list of them."""
    name = request.params["name"]
    if name not in SCHEMAS:
        raise NotFound.of("schema", name)
    return Response(body=SCHEMAS[name])


def _visible(request: Request) -> Namespace:
    name = request.params["namespace"]
    namespace = namespace_named(request.cluster.view(), name)
    if not sees(request.caller, namespace):
        raise NotFound.of(Namespace.NOUN, name)
    return namespace


def _writable(request: Request) -> Namespace:
    """The namespace, for administrators. To others one that they don't see is not there, as everywhere in Glance."""
    namespace = _visible(request)
    if not request.caller.is_admin:
        raise Forbidden("You are not authorized to perform this: it needs the role admin.")
    return namespace


def _prefix(request: Request, namespace: Namespace) -> str:
    name = request.query.get("resource_type")
    if name is None:
        return ""
    return forms.need("resource type association", namespace.associations, name).prefix or ""


async def _change(request: Request, change: Callable[[NamespaceForm], NamespaceForm]) -> str:
    """Write what `change` makes of the namespace; its id."""

    def choose() -> ChangeNamespace:
        namespace = _writable(request)
        form = change(NamespaceForm.of(namespace))
        return ChangeNamespace(namespace_id=namespace.id, generation=namespace.generation, form=form, now_ms=now_ms())

    id = _writable(request).id
    await propose_chosen(request.cluster, choose, CHANGED)
    return id


def _property(request: Request, id: str, name: str) -> Response:
    return Response(body=views.property_view(name, request.cluster.view().need(Namespace, id).properties[name]))


def _object(request: Request, id: str, name: str) -> Response:
    body = views.object_view(request.cluster.view().need(Namespace, id), name)
    return Response(body=body, headers=_location(request, body["self"]))


def _tag(request: Request, id: str, name: str) -> Response:
    return Response(body=views.tag_view(name, request.cluster.view().need(Namespace, id).tags[name]))


def _tags(namespace: Namespace) -> Response:
    found = [views.tag_view(name, tag) for name, tag in namespace.tags.items()]
    return Response(body={"tags": found, "schema": f"{views.SCHEMA_PATH}/tags"})


def _location(request: Request, path: object) -> dict[str, str]:
    return {"Location": f"{request.base_url}/image{path}"}


_ALL, _ONE = "/v2/metadefs/namespaces", "/v2/metadefs/namespaces/{namespace}"
_PROPERTIES, _PROPERTY = _ONE + "/properties", _ONE + "/properties/{property}"
_OBJECTS, _OBJECT = _ONE + "/objects", _ONE + "/objects/{object}"
_TAGS, _TAG = _ONE + "/tags", _ONE + "/tags/{tag}"
_TYPES, _TYPE = _ONE + "/resource_types", _ONE + "/resource_types/{resource_type}"
# Who may write is decided in the handler, after what they may see.
_READER, _ADMIN = Allow.READER, Allow.ADMIN

ROUTES = (
    Route(verb="GET", path=_ALL, handler=list_namespaces, allow=_READER),
    Route(verb="POST", path=_ALL, handler=create_namespace, allow=_ADMIN, done=Done.CREATED),
    Route(verb="GET", path=_ONE, handler=show_namespace, allow=_READER),
    Route(verb="PUT", path=_ONE, handler=update_namespace, allow=_READER),
    Route(verb="DELETE", path=_ONE, handler=delete_namespace, allow=_READER, done=Done.EMPTY),
    Route(verb="GET", path=_PROPERTIES, handler=list_properties, allow=_READER),
    Route(verb="POST", path=_PROPERTIES, handler=create_property, allow=_READER, done=Done.CREATED),
    Route(verb="DELETE", path=_PROPERTIES, handler=delete_properties, allow=_READER, done=Done.EMPTY),
    Route(verb="GET", path=_PROPERTY, handler=show_property, allow=_READER),
    Route(verb="PUT", path=_PROPERTY, handler=update_property, allow=_READER),
    Route(verb="DELETE", path=_PROPERTY, handler=delete_property, allow=_READER, done=Done.EMPTY),
    Route(verb="GET", path=_OBJECTS, handler=list_objects, allow=_READER),
    Route(verb="POST", path=_OBJECTS, handler=create_object, allow=_READER, done=Done.CREATED),
    Route(verb="DELETE", path=_OBJECTS, handler=delete_objects, allow=_READER, done=Done.EMPTY),
    Route(verb="GET", path=_OBJECT, handler=show_object, allow=_READER),
    Route(verb="PUT", path=_OBJECT, handler=update_object, allow=_READER),
    Route(verb="DELETE", path=_OBJECT, handler=delete_object, allow=_READER, done=Done.EMPTY),
    Route(verb="GET", path=_TAGS, handler=list_tags, allow=_READER),
    Route(verb="POST", path=_TAGS, handler=set_tags, allow=_READER, done=Done.CREATED),
    Route(verb="DELETE", path=_TAGS, handler=delete_tags, allow=_READER, done=Done.EMPTY),
    Route(verb="GET", path=_TAG, handler=show_tag, allow=_READER),
    Route(verb="POST", path=_TAG, handler=create_tag, allow=_READER, done=Done.CREATED),
    Route(verb="PUT", path=_TAG, handler=update_tag, allow=_READER),
    Route(verb="DELETE", path=_TAG, handler=delete_tag, allow=_READER, done=Done.EMPTY),
    Route(verb="GET", path="/v2/metadefs/resource_types", handler=list_resource_types, allow=_READER),
    Route(verb="GET", path=_TYPES, handler=list_associations, allow=_READER),
    Route(verb="POST", path=_TYPES, handler=create_association, allow=_READER, done=Done.CREATED),
    Route(verb="DELETE", path=_TYPE, handler=delete_association, allow=_READER, done=Done.EMPTY),
    Route(verb="GET", path="/v2/schemas/metadefs/{name}", handler=show_schema, allow=_READER),
)
