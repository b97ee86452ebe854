"""How an image member looks in Glance's API."""

from images.catalog.model import Membership
from noded.core.times import zulu


def member_view(member: Membership) -> dict[str, object]:
    """One project's share."""
    return {
        "member_id": member.project_id,
        "image_id": member.image_id,
        "status": member.state,
        "created_at": zulu(member.created_at_ms),
        "updated_at": zulu(member.updated_at_ms),
        "schema": "/v2/schemas/member",
    }
