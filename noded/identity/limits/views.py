"""How does Keystone write limits? Pure."""

from typing import Annotated, Final

import msgspec

from noded.identity.limits.model import Limit, RegisteredLimit
from noded.identity.views import link

Amount = Annotated[int, msgspec.Meta(ge=-1, le=0x7FFF_FFFF)]  # -1: as much as there is

MODEL: Final = {
    "name": "flat",
    "description": ("Limit enforcement and validation does not take project hierarchy into consideration."),
}


def registered_body(base_url: str, limit: RegisteredLimit) -> dict[str, object]:
    """A registered limit."""
    return {
        "id": limit.id,
        "service_id": limit.service_id,
        "region_id": limit.region_id,
        "resource_name": limit.resource_name,
        "default_limit": limit.default_limit,
        "description": limit.description,
        "links": {"self": link(base_url, "registered_limits", limit.id)},
    }


def limit_body(base_url: str, limit: Limit) -> dict[str, object]:
    """A limit."""
    return {
        "id": limit.id,
        "project_id": limit.project_id,
        "domain_id": limit.domain_id,
        "service_id": limit.service_id,
        "region_id": limit.region_id,
        "resource_name": limit.resource_name,
        "resource_limit": limit.resource_limit,
        "description": limit.description,
        "links": {"self": link(base_url, "limits", limit.id)},
    }
