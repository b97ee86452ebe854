"""What the image routes do: create, list, show, change and delete what is written on images (Glance v2, "Images")."""

from collections.abc import Callable

from msgspec.structs import replace

from images.catalog import forms
from images.catalog.commands import CHANGED, ChangeImage, CreateImage, DeactivateImage, DeleteImage, ImageForm, visible
from images.catalog.listing import Repeated, listed, page_links
from images.catalog.model import IMPORT_METHODS, Image
from images.catalog.patch import MEDIA_TYPES, patched
from images.catalog.schemas import SCHEMAS
from images.catalog.views import image_view
from noded.core import dice
from noded.core.clock import now_ms
from noded.core.errors import Forbidden, Kind, NotFound, Refused
from noded.core.ids import ImageId
from noded.core.retry import propose_chosen
from noded.core.route import Allow, Done, Request, Response, Route


async def create_image(request: Request) -> Response:
    """A new image without contents."""
    body = await request.json(dict[str, object])
    form = ImageForm(project_id=request.caller.project)
    image_id = forms.image_id_of(body.pop("id")) if "id" in body else dice.new_uuid()
    for key, value in body.items():
        form = forms.set_key(form, key, value, request.caller)
    await request.cluster.propose(CreateImage(image_id=ImageId(image_id), form=form, now_ms=now_ms()))
    image = request.cluster.view().need(Image, image_id)
    location = f"{request.base_url}/image/v2/images/{image_id}"
    headers = {"Location": location, "OpenStack-image-import-methods": ",".join(IMPORT_METHODS)}
    return Response(body=image_view(image), headers=headers)


async def list_images(request: Request) -> Response:
    """One page of the images that the caller may see; each in full."""
    _refuse_empty_id(request)
    repeated = Repeated(
        tags=request.query_all("tag"),
        sort_keys=request.query_all("sort_key"),
        sort_dirs=request.query_all("sort_dir"),
    )
    page = listed(request.cluster.view(), request.caller, request.query, repeated)
    return Response(
        body={
            "images": [image_view(image) for image in page.images],
            "schema": "/v2/schemas/images",
            **page_links(request.query, repeated, page),
        }
    )


async def delete_nothing(request: Request) -> Response:
    """An id must be given: `/v2/images` itself is not deleted."""
    _refuse_empty_id(request)
    raise Refused("Name the image to delete.", kind=Kind.METHOD_NOT_ALLOWED)


def _refuse_empty_id(request: Request) -> None:
    # With a slash at its end the path names an image with an empty id, for Glance's clients.
    if request.path.endswith("/"):
        raise NotFound.of("image", "")


async def show_image(request: Request) -> Response:
    """One image."""
    return Response(body=image_view(_visible(request)))


async def change_image(request: Request) -> Response:
    """Apply a JSON patch."""
    if request.headers.get("content-type", "").split(";")[0].strip() not in MEDIA_TYPES:
        raise Refused(f"Send the change as {MEDIA_TYPES[0]}.", kind=Kind.UNSUPPORTED_TYPE)
    changes = await request.json(list[dict[str, object]])
    await _change(request, lambda form: patched(form, changes, request.caller))
    return Response(body=image_view(_visible(request)))


async def delete_image(request: Request) -> Response:
    """Delete the image; servers made from it are not touched."""
    await request.cluster.propose(DeleteImage(image_id=_own(request).image_id))
    return Response()


async def deactivate_image(request: Request) -> Response:
    """Stop handing out the contents."""
    return await _set_deactivated(request, deactivated=True)


async def reactivate_image(request: Request) -> Response:
    """Hand out the contents again."""
    return await _set_deactivated(request, deactivated=False)


async def _set_deactivated(request: Request, *, deactivated: bool) -> Response:
    image = _own(request)
    if image.contents is None:
        # Glance says "forbidden" where others would say "conflict".
        raise Forbidden(f"Image {image.id} has no contents yet: only an active image can be deactivated.")
    await request.cluster.propose(DeactivateImage(image_id=image.image_id, deactivated=deactivated, now_ms=now_ms()))
    return Response()


async def add_tag(request: Request) -> Response:
    """One more tag; again: nothing."""
    tag = forms.tag_of(request.params["tag"])
    await _change(request, lambda form: replace(form, tags=forms.tags_of([*form.tags, tag])))
    return Response()


async def remove_tag(request: Request) -> Response:
    """One tag less."""
    tag = request.params["tag"]

    def without(form: ImageForm) -> ImageForm:
        if tag not in form.tags:
            raise NotFound.of("tag", tag)
        return replace(form, tags=tuple(each for each in form.tags if each != tag))

    await _change(request, without)
    return Response()


async def show_schema(request: Request) -> Response:
    """The JSON schema of an image, a member, or a list of them."""
    name = request.params["name"]
    if name not in SCHEMAS:
        raise NotFound.of("schema", name)
    return Response(body=SCHEMAS[name])


async def show_import_methods(request: Request) -> Response:  # noqa: ARG001  # every handler takes the request
    """Which ways of import there are beside the upload of the file itself."""
    methods = {"description": "Import methods available.", "type": "array", "value": list(IMPORT_METHODS)}
    return Response(body={"import-methods": methods})


def _visible(request: Request) -> Image:
    view, image_id = request.cluster.view(), request.params["image_id"]
    return visible(view, request.caller, view.get(Image, image_id), image_id)


def _own(request: Request) -> Image:
    """The image of the path, if the caller may change it."""
    image = _visible(request)
    if image.project_id != request.caller.project_id and not request.caller.is_admin:
        raise Forbidden(f"You are not the owner of image {image.id}.")
    return image


async def _change(request: Request, change: Callable[[ImageForm], ImageForm]) -> None:
    def choose() -> ChangeImage:
        image = _own(request)
        form = change(ImageForm.of(image))
        return ChangeImage(image_id=image.image_id, generation=image.generation, form=form, now_ms=now_ms())

    await propose_chosen(request.cluster, choose, CHANGED)


ROUTES = (
    Route(verb="POST", path="/v2/images", handler=create_image, allow=Allow.MEMBER, done=Done.CREATED),
    Route(verb="GET", path="/v2/images", handler=list_images, allow=Allow.READER),
    Route(verb="DELETE", path="/v2/images", handler=delete_nothing, allow=Allow.MEMBER),
    Route(verb="GET", path="/v2/images/{image_id}", handler=show_image, allow=Allow.READER),
    Route(verb="PATCH", path="/v2/images/{image_id}", handler=change_image, allow=Allow.MEMBER),
    Route(verb="DELETE", path="/v2/images/{image_id}", handler=delete_image, allow=Allow.MEMBER, done=Done.EMPTY),
    Route(
        verb="POST",
        path="/v2/images/{image_id}/actions/deactivate",
        handler=deactivate_image,
        allow=Allow.MEMBER,
        done=Done.EMPTY,
    ),
    Route(
        verb="POST",
        path="/v2/images/{image_id}/actions/reactivate",
        handler=reactivate_image,
        allow=Allow.MEMBER,
        done=Done.EMPTY,
    ),
    Route(verb="PUT", path="/v2/images/{image_id}/tags/{tag}", handler=add_tag, allow=Allow.MEMBER, done=Done.EMPTY),
    Route(
        verb="DELETE",
        path="/v2/images/{image_id}/tags/{tag}",
        handler=remove_tag,
        allow=Allow.MEMBER,
        done=Done.EMPTY,
    ),
    Route(verb="GET", path="/v2/schemas/{name}", handler=show_schema, allow=Allow.READER),
    Route(verb="GET", path="/v2/info/import", handler=show_import_methods, allow=Allow.READER),
)
