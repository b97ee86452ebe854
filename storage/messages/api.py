"""What the message routes do (Cinder v3, "Messages", from microversion 3.3 on)."""

from typing import Any

from noded.core.errors import NotFound
from noded.core.route import Allow, Done, Request, Response, Route
from noded.core.times import naive_micro
from storage.messages.commands import DeleteMessage
from storage.messages.model import KEPT_MS, Message
from storage.paging import paged

SINCE = (3, 3)
_SORT: Any = {
    "id": lambda message: message.id,
    "event_id": lambda message: message.event,
    "resource_type": lambda message: message.resource_type,
    "resource_uuid": lambda message: message.resource_id,
    "message_level": lambda message: message.level,
    "request_id": lambda message: message.request_id,
    "created_at": lambda message: message.created_at_ms,
}


def _body(message: Message, base_url: str) -> dict[str, object]:
    return {
        "id": message.id,
        "request_id": message.request_id,
        "resource_type": message.resource_type,
        "resource_uuid": message.resource_id,
        "event_id": f"VOLUME_{message.resource_type}_{message.event}",
        "message_level": message.level,
        "user_message": message.text,
        "created_at": naive_micro(message.created_at_ms),
        "guaranteed_until": naive_micro(message.created_at_ms + KEPT_MS),
        "links": [
            {"rel": "self", "href": f"{base_url}/volume/v3/messages/{message.id}"},
            {"rel": "bookmark", "href": f"{base_url}/volume/messages/{message.id}"},
        ],
    }


def _own(request: Request) -> Message:
    message_id = request.params["message_id"]
    message = request.cluster.view().get(Message, message_id)
    if message is None or (message.project_id != request.caller.project_id and not request.caller.is_admin):
        raise NotFound(f"Message {message_id[:255]} could not be found.")
    return message


async def list_messages(request: Request) -> Response:
    """The project's messages."""
    query, base = request.query, request.base_url
    found = request.cluster.view().find(Message, "project_id", request.caller.project)
    for word in ("event_id", "message_level", "request_id", "resource_type", "resource_uuid"):
        if word in query:
            found = [message for message in found if str(_body(message, base)[word]) == query[word]]
    page, links = paged(found, query, base + request.path, _SORT, word="messages", noun="Message")
    return Response(body={"messages": [_body(message, base) for message in page], **links})


async def show_message(request: Request) -> Response:
    """One message."""
    return Response(body={"message": _body(_own(request), request.base_url)})


async def delete_message(request: Request) -> Response:
    """The message was read."""
    await request.cluster.propose(DeleteMessage(message_id=_own(request).id))
    return Response()


_ONE = "/v3/messages/{message_id}"

ROUTES = (
    Route(verb="GET", path="/v3/messages", handler=list_messages, allow=Allow.READER, since=SINCE),
    Route(verb="GET", path=_ONE, handler=show_message, allow=Allow.READER, since=SINCE),
    Route(verb="DELETE", path=_ONE, handler=delete_message, allow=Allow.MEMBER, done=Done.EMPTY, since=SINCE),
)
