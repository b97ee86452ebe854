"""What a registered limit is (everybody's, by default) and a limit (one project's or domain's)."""

from typing import ClassVar

from noded.core.record import Record
from noded.core.store import View


class RegisteredLimit(Record, frozen=True, kw_only=True, tag="registered_limit.1"):
    """How much of a resource anybody may have unless a limit says otherwise."""

    INDEXED: ClassVar[tuple[str, ...]] = ("resource_name", "service_id")
    NOUN: ClassVar[str] = "registered limit"

    id: str
    service_id: str
    resource_name: str
    default_limit: int
    region_id: str | None = None
    description: str | None = None


class Limit(Record, frozen=True, kw_only=True, tag="limit.1"):
    """How much one project or one domain may have."""

    INDEXED: ClassVar[tuple[str, ...]] = ("resource_name", "service_id", "project_id", "domain_id")
    NOUN: ClassVar[str] = "limit"

    id: str
    service_id: str
    resource_name: str
    resource_limit: int
    region_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None
    description: str | None = None


def registered_for(view: View, service_id: str, region_id: str | None, resource_name: str) -> RegisteredLimit | None:
    """The registered limit of exactly that resource."""
    for each in view.find(RegisteredLimit, "resource_name", resource_name):
        if (each.service_id, each.region_id) == (service_id, region_id):
            return each
    return None


def limits_of(view: View, registered: RegisteredLimit) -> list[Limit]:
    """The limits that stand in place of the registered one."""
    place = (registered.service_id, registered.region_id)
    found = view.find(Limit, "resource_name", registered.resource_name)
    return [each for each in found if (each.service_id, each.region_id) == place]
