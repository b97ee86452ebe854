"""How does Keystone write application credentials and access rules? Pure."""

from noded.core.store import View
from noded.identity import moments, views
from noded.identity.delegations import ApplicationCredential, StoredRule, rules_of
from noded.identity.standing import with_implied


def credential_body(view: View, base_url: str, credential: ApplicationCredential) -> dict[str, object]:
    """An application credential, without its secret."""
    body: dict[str, object] = {
        "id": credential.id,
        "name": credential.name,
        "description": credential.description,
        "user_id": credential.user_id,
        "project_id": credential.project_id,
        "roles": [
            {"id": role.id, "name": role.name, "domain_id": role.domain_id, "description": role.description}
            for role in with_implied(view, credential.role_ids)
        ],
        "expires_at": None if credential.expires_us is None else moments.naive(credential.expires_us),
        "unrestricted": credential.unrestricted,
        "links": {"self": views.link(base_url, "users", credential.user_id, "application_credentials", credential.id)},
    }
    if credential.rule_ids:
        body["access_rules"] = [rule_body(rule) for rule in rules_of(view, credential)]
    return body


def rule_body(rule: StoredRule) -> dict[str, object]:
    """An access rule, as it stands in a credential."""
    return {"id": rule.id, "path": rule.path, "method": rule.verb, "service": rule.service}
