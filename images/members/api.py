"""What the routes of image members do: the owner offers an image to a project, which accepts or rejects it."""

from msgspec import Struct

from images.catalog.commands import AddMember, AnswerShare, RemoveMember, visible
from images.catalog.model import Image, Membership, Visibility, membership_id
from images.members.views import member_view
from noded.core.clock import now_ms
from noded.core.errors import Forbidden, NotFound
from noded.core.ids import ProjectId
from noded.core.route import Allow, Done, Request, Response, Route


class NewMember(Struct, frozen=True):
    """The body of an offer."""

    member: str


class MemberAnswer(Struct, frozen=True):
    """The body of an answer."""

    status: str


async def add_member(request: Request) -> Response:
    """Offer the image to a project."""
    body = await request.json(NewMember)
    image = _own(request)
    project_id = ProjectId(body.member)
    await request.cluster.propose(AddMember(image_id=image.image_id, project_id=project_id, now_ms=now_ms()))
    return Response(body=member_view(_member(request, image, project_id)))


async def list_members(request: Request) -> Response:
    """Whom the image was offered to; a member sees itself alone."""
    image = _shared(request)
    members = request.cluster.view().find(Membership, "image_id", image.id)
    seen = [member for member in members if _owns(request, image) or member.project_id == request.caller.project]
    return Response(body={"members": [member_view(member) for member in seen], "schema": "/v2/schemas/members"})


async def show_member(request: Request) -> Response:
    """One of them."""
    image, project_id = _shared(request), ProjectId(request.params["member_id"])
    if not _owns(request, image) and project_id != request.caller.project:
        raise NotFound.of("image member", project_id)
    return Response(body=member_view(_member(request, image, project_id)))


async def answer_share(request: Request) -> Response:
    """The project that the image was offered to accepts or rejects it."""
    body = await request.json(MemberAnswer)
    image, project_id = _shared(request), ProjectId(request.params["member_id"])
    if project_id != request.caller.project and not request.caller.is_admin:
        raise Forbidden("Only the project that an image was offered to may answer.")
    _member(request, image, project_id)
    order = AnswerShare(image_id=image.image_id, project_id=project_id, state=body.status, now_ms=now_ms())
    await request.cluster.propose(order)
    return Response(body=member_view(_member(request, image, project_id)))


async def remove_member(request: Request) -> Response:
    """Take the offer back."""
    image, project_id = _own(request), ProjectId(request.params["member_id"])
    await request.cluster.propose(RemoveMember(image_id=image.image_id, project_id=project_id))
    return Response()


def _visible(request: Request) -> Image:
    view, image_id = request.cluster.view(), request.params["image_id"]
    return visible(view, request.caller, view.get(Image, image_id), image_id)


def _owns(request: Request, image: Image) -> bool:
    return request.caller.is_admin or image.project_id == request.caller.project_id


def _shared(request: Request) -> Image:
    image = _visible(request)
    if image.visibility is not Visibility.SHARED:
        raise Forbidden("Only shared images have members.")
    return image


def _own(request: Request) -> Image:
    image = _shared(request)
    if not _owns(request, image):
        raise Forbidden(f"You are not the owner of image {image.id}.")
    return image


def _member(request: Request, image: Image, project_id: ProjectId) -> Membership:
    member = request.cluster.view().get(Membership, membership_id(image.image_id, project_id))
    if member is None:
        raise NotFound.of("image member", project_id)
    return member


_MEMBERS = "/v2/images/{image_id}/members"

ROUTES = (
    Route(verb="POST", path=_MEMBERS, handler=add_member, allow=Allow.MEMBER),
    Route(verb="GET", path=_MEMBERS, handler=list_members, allow=Allow.READER),
    Route(verb="GET", path=_MEMBERS + "/{member_id}", handler=show_member, allow=Allow.READER),
    Route(verb="PUT", path=_MEMBERS + "/{member_id}", handler=answer_share, allow=Allow.MEMBER),
    Route(verb="DELETE", path=_MEMBERS + "/{member_id}", handler=remove_member, allow=Allow.MEMBER, done=Done.EMPTY),
)
