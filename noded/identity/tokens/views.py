"""How is a token told to its holder? Pure."""

from collections.abc import Sequence
from typing import Any

from noded.core.store import View
from noded.core.times import zulu_micro
from noded.identity.delegations import AccessToken, Delegated, Trust, rules_of
from noded.identity.model import Domain, Scope, User
from noded.identity.providers import ServiceProvider, Vouched
from noded.identity.standing import Standing
from noded.identity.tokens.seal import Receipt, Token
from noded.identity.views import when


def token_body(
    view: View, token: Token, standing: Standing, catalog: Sequence[dict[str, object]] | None
) -> dict[str, dict[str, object]]:
    """The token's JSON, the same when it is issued and when it is looked at. `catalog` None: it was not asked for."""
    user = standing.user
    body: dict[str, Any] = {
        "methods": list(token.methods),
        "user": {
            "domain": _domain(standing.user_domain),
            "id": user.id,
            "name": user.name,
            "password_expires_at": when(user.password_expires_ms),
        },
        "audit_ids": list(token.audit_ids),
        "expires_at": zulu_micro(token.expires_ms),
        "issued_at": zulu_micro(token.issued_ms),
    }
    if standing.vouched is not None:
        body["user"] |= _federated(standing.vouched)
    if standing.through is not None:
        body |= _delegated(view, standing.through)
    if standing.scope is Scope.NONE:
        return {"token": body}
    body["roles"] = [{"id": role.id, "name": role.name} for role in standing.roles]
    if standing.project is not None and standing.domain is not None:
        project = standing.project
        body["project"] = {"domain": _domain(standing.domain), "id": project.id, "name": project.name}
        body["is_domain"] = False
    elif standing.domain is not None:
        body["domain"] = _domain(standing.domain)
    else:
        body["system"] = {"all": True}
    if catalog is not None:
        body["catalog"] = catalog
    trusting = [each for each in view.all(ServiceProvider) if each.enabled]
    if trusting:
        body["service_providers"] = [
            {"id": each.id, "auth_url": each.auth_url, "sp_url": each.sp_url} for each in trusting
        ]
    return {"token": body}


def receipt_body(
    view: View, receipt: Receipt, user: User, issued_ms: int, rules: Sequence[Sequence[str]]
) -> dict[str, object]:
    """A receipt's JSON, and the rules of which one must hold (Identity API v3, "Multi-Factor Authentication")."""
    told = {
        "methods": list(receipt.methods),
        "user": {"domain": _domain(view.need(Domain, user.domain_id)), "id": user.id, "name": user.name},
        "expires_at": zulu_micro(receipt.expires_ms),
        "issued_at": zulu_micro(issued_ms),
    }
    return {"receipt": told, "required_auth_methods": [list(rule) for rule in rules]}


def _federated(vouched: Vouched) -> dict[str, object]:
    """What the token says of who vouched for its user."""
    return {
        "OS-FEDERATION": {
            "identity_provider": {"id": vouched.provider_id},
            "protocol": {"id": vouched.protocol},
            "groups": [{"id": id} for id in vouched.group_ids],
        }
    }


def _delegated(view: View, through: Delegated) -> dict[str, object]:
    """What the token says of that through which it was made."""
    if isinstance(through, Trust):
        trust: dict[str, object] = {
            "id": through.id,
            "trustor_user": {"id": through.trustor_user_id},
            "trustee_user": {"id": through.trustee_user_id},
            "impersonation": through.impersonation,
        }
        return {"OS-TRUST:trust": trust}
    if isinstance(through, AccessToken):
        return {"OS-OAUTH1": {"access_token_id": through.id, "consumer_id": through.consumer_id}}
    credential: dict[str, object] = {
        "id": through.id,
        "name": through.name,
        "restricted": not through.unrestricted,
    }
    if through.rule_ids:
        credential["access_rules"] = [
            {"id": rule.id, "path": rule.path, "method": rule.verb, "service": rule.service}
            for rule in rules_of(view, through)
        ]
    return {"application_credential": credential}


def _domain(domain: Domain) -> dict[str, str]:
    return {"id": domain.id, "name": domain.name}
