"""What a policy is, and what it is for: an endpoint, a service, or a service in a region."""

from typing import ClassVar

import msgspec

from noded.core.record import Record
from noded.core.store import View
from noded.identity.model import Extra
from noded.identity.places import StoredEndpoint, regions_above


class Policy(Record, frozen=True, kw_only=True, tag="policy.1"):
    """A text in some policy language."""

    NOUN: ClassVar[str] = "policy"

    id: str
    type: str
    blob: str
    extra: Extra = msgspec.field(default_factory=dict)


class PolicyLink(Record, frozen=True, kw_only=True, tag="policy_link.1"):
    """What has which policy. There is one for each endpoint, service, or service in a region."""

    INDEXED: ClassVar[tuple[str, ...]] = ("policy_id", "endpoint_id", "service_id", "region_id")
    NOUN: ClassVar[str] = "policy association"

    id: str  # `target_id`
    policy_id: str
    endpoint_id: str | None = None
    service_id: str | None = None
    region_id: str | None = None


def target_id(endpoint_id: str | None, service_id: str | None, region_id: str | None) -> str:
    """What has the policy, in one word."""
    return f"{endpoint_id or ''}:{service_id or ''}:{region_id or ''}"


def policy_for(view: View, endpoint: StoredEndpoint) -> Policy | None:
    """The endpoint's own policy, else that of its service in its region or the next one above, else its service's."""
    targets = [
        target_id(endpoint.id, None, None),
        *(target_id(None, endpoint.service_id, region) for region in regions_above(view, endpoint.region_id)),
        target_id(None, endpoint.service_id, None),
    ]
    for target in targets:
        link = view.get(PolicyLink, target)
        if link is not None:
            return view.need(Policy, link.policy_id)
    return None
