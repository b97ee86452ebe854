"""How does Keystone write a trust? Pure."""

from noded.core.store import View
from noded.identity import moments, views
from noded.identity.delegations import Trust
from noded.identity.model import Role


def trust_body(base_url: str, trust: Trust) -> dict[str, object]:
    """A trust as it is listed: without its roles."""
    return {
        "id": trust.id,
        "trustor_user_id": trust.trustor_user_id,
        "trustee_user_id": trust.trustee_user_id,
        "impersonation": trust.impersonation,
        "project_id": trust.project_id,
        "expires_at": None if trust.expires_us is None else moments.zulu(trust.expires_us),
        "deleted_at": None,
        "remaining_uses": trust.remaining_uses,
        "redelegation_count": trust.redelegation_count,
        "redelegated_trust_id": trust.redelegated_trust_id,
        "links": {"self": views.link(base_url, "OS-TRUST", "trusts", trust.id)},
    }


def whole_trust_body(view: View, base_url: str, trust: Trust) -> dict[str, object]:
    """A trust with its roles."""
    own_url = views.link(base_url, "OS-TRUST", "trusts", trust.id, "roles")
    return {
        **trust_body(base_url, trust),
        "roles": [views.role(base_url, view.need(Role, role_id)) for role_id in trust.role_ids],
        "roles_links": {"self": own_url, "next": None, "previous": None},
    }
