"""How does Keystone write a region? Pure."""

from noded.identity.places import Region
from noded.identity.views import link


def region_body(base_url: str, region: Region) -> dict[str, object]:
    """A region."""
    return {
        **region.extra,
        "id": region.id,
        "description": region.description,
        "parent_region_id": region.parent_region_id,
        "links": {"self": link(base_url, "regions", region.id)},
    }
