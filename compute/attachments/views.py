"""How a server's volumes look in the API, at each microversion."""

from compute.servers.model import Attachment, Server

TAG_SINCE = (2, 70)
DELETE_FLAG_SINCE = (2, 79)
NO_ID_SINCE = (2, 89)

Version = tuple[int, int]


def attached(server: Server, attachment: Attachment, version: Version) -> dict[str, object]:
    """What an attachment is answered with when it is made: the id stays in it whatever the version."""
    body: dict[str, object] = {
        "id": attachment.volume_id,
        "device": attachment.device,
        "serverId": server.id,
        "volumeId": attachment.volume_id,
    }
    if version >= TAG_SINCE:
        body["tag"] = attachment.tag
    if version >= DELETE_FLAG_SINCE:
        body["delete_on_termination"] = attachment.delete_on_termination
    return body


def volume_attachment(server: Server, attachment: Attachment, version: Version) -> dict[str, object]:
    """A volume of the server."""
    body = attached(server, attachment, version)
    if version >= NO_ID_SINCE:
        del body["id"]
        shown = attachment.id or attachment.volume_id
        body |= {"attachment_id": shown, "bdm_uuid": shown}
    return body
