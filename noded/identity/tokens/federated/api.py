"""Answers /OS-FEDERATION/identity_providers/{provider_id}/protocols/{protocol_id}/auth: a provider's token for ours."""

from typing import Final

import structlog

from noded.core.clock import now_ms
from noded.core.dice import new_hex_id
from noded.core.errors import Forbidden, Invalid, NotFound, Unauthenticated
from noded.core.ids import DomainId, GroupId, ProjectId, RoleId, UserId
from noded.core.route import Allow, Done, Request, Response, Route
from noded.core.store import View
from noded.gateway.freshness import freshest_view
from noded.identity.claims import REMOTE_USER, assertion_of
from noded.identity.federation.commands import Provision, ShadowUser
from noded.identity.mapping import Assertion, DomainName, Mapped, ProjectWish, mapped
from noded.identity.model import Domain, Group, Role, Scope, User
from noded.identity.oidc.links import OidcTokens
from noded.identity.oidc.model import issuers
from noded.identity.providers import IdentityProvider, Mapping, OidcSettings, Protocol, Vouched, protocol_key
from noded.identity.standing import active_user, standing_of
from noded.identity.tokens.issuing import TOKEN_LIFE_MS, Proof, issue

_NO: Final = "The request you have made requires authentication."
_MINUTE_MS: Final = 60_000

log = structlog.get_logger(__name__)


async def sign_in(request: Request) -> Response:
    """GET and POST …/auth, the provider's access token in the header Authorization: an unscoped token."""
    view = await freshest_view(request.cluster)
    provider, protocol = _trusted(view, request.params["provider_id"], request.params["protocol_id"])
    settings = view.get(OidcSettings, provider.id)
    if settings is None:
        log.warning("nobody can sign in: it is not set how the provider's tokens are checked", provider=provider.id)
        raise Unauthenticated(_NO)
    known = issuers(provider.remote_ids, allow_http=settings.allow_http)
    claims = await request.driver(OidcTokens).claims(known, settings, _bearer(request))
    assertion = assertion_of(claims)
    _expect_remote_id(provider, protocol, assertion)
    # Asking the provider took a while: what the records say now counts.
    view = request.cluster.view()
    provider, protocol = _trusted(view, provider.id, protocol.name)
    mapping = view.need(Mapping, protocol.mapping_id)
    found = mapped(mapping.rules, mapping.schema_version, assertion)
    if found is None:
        log.info("no rule of the mapping fits whom the provider vouches for", provider=provider.id, mapping=mapping.id)
        raise Unauthenticated(_NO)
    if found.is_local:
        user, vouched = _local_user(view, found, provider), None
    else:
        group_ids = _groups(view, found)
        user = await _shadow(request, provider, protocol, found, group_ids, assertion)
        vouched = Vouched(provider_id=provider.id, protocol=protocol.name, group_ids=group_ids)
    view = request.cluster.view()
    active_user(view, user.id)
    proof = Proof(user=user, methods=(protocol.name,), expires_ms=now_ms() + TOKEN_LIFE_MS, vouched=vouched)
    return issue(request, proof, standing_of(view, user.id, Scope.NONE, "", vouched))


def _trusted(view: View, provider_id: str, name: str) -> tuple[IdentityProvider, Protocol]:
    provider = view.need(IdentityProvider, provider_id)
    protocol = view.get(Protocol, protocol_key(provider_id, name))
    if protocol is None:
        raise NotFound(f"Could not find federated protocol {name[:64]} for Identity Provider: {provider_id[:64]}.")
    if not provider.enabled:
        raise Forbidden(f"Identity Provider {provider_id[:64]} is disabled.")
    return provider, protocol


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated(_NO)
    return token.strip()


def _expect_remote_id(provider: IdentityProvider, protocol: Protocol, assertion: Assertion) -> None:
    """Raises `Forbidden` where the attribute that shall name the provider names another one."""
    attribute = protocol.remote_id_attribute
    if not attribute or not provider.remote_ids:
        return
    values = assertion.get(attribute)
    if values is None:
        raise Invalid("Could not find Identity Provider identifier in environment.")
    if ";".join(values) not in provider.remote_ids:
        raise Forbidden("Incoming identity provider identifier not included among the accepted identifiers.")


def _local_user(view: View, found: Mapped, provider: IdentityProvider) -> User:
    """The user of this cloud that the rules mean; they are never made."""
    if found.user_id is not None:
        return active_user(view, found.user_id)[0]
    domain_id = _domain_id(view, found.domain) or provider.domain_id
    named = view.find(User, "name", found.user_name or "")
    user = next((each for each in named if each.domain_id == domain_id), None)
    if user is None:
        raise Unauthenticated(_NO)
    return user


def _groups(view: View, found: Mapped) -> tuple[str, ...]:
    """The groups of the rules that there are; one that is missing is skipped by name, and refused by id."""
    missing = next((id for id in found.group_ids if view.get(Group, id) is None), None)
    if missing is not None:
        log.warning("a mapping names a group that is not there", group=missing[:64])
        raise Unauthenticated(_NO)
    ids = list(found.group_ids)
    for wish in found.groups:
        domain_id = _domain_id(view, wish.domain)
        ids += [each.id for each in view.find(Group, "name", wish.name) if each.domain_id == domain_id]
    return tuple(dict.fromkeys(ids))


async def _shadow(
    request: Request,
    provider: IdentityProvider,
    protocol: Protocol,
    found: Mapped,
    group_ids: tuple[str, ...],
    assertion: Assertion,
) -> User:
    """The user who stands for them here, as they are described now."""
    view = request.cluster.view()
    name = found.user_name or found.user_id or next(iter(assertion.get(REMOTE_USER, ())), "")
    if not name:
        raise Unauthenticated(
            "Could not map user while setting ephemeral user identity. Either mapping rules must specify user id/name"
            " or REMOTE_USER environment variable must be set."
        )
    ttl_ms = (provider.authorization_ttl or 0) * _MINUTE_MS
    order = ShadowUser(
        user_id=UserId(new_hex_id()),
        domain_id=DomainId(_domain_id(view, found.domain) or provider.domain_id),
        name=name[:255],
        email=found.email,
        provider_id=provider.id,
        protocol=protocol.name,
        unique_id=found.user_id or name,
        projects=tuple(_provision(view, wish, provider) for wish in found.projects),
        group_ids=tuple(GroupId(id) for id in group_ids),
        groups_expire_ms=now_ms() + ttl_ms if ttl_ms else None,
    )
    # Whoever signs in often does not fill the log: a membership is prolonged when a tenth of its time is over.
    if not order.is_done(view, ttl_ms // 10):
        await request.cluster.propose(order)
    user = order.user_in(request.cluster.view())
    if user is None:
        raise Unauthenticated(_NO)
    return user


def _provision(view: View, wish: ProjectWish, provider: IdentityProvider) -> Provision:
    roles = {role.name: role for role in view.all(Role) if role.domain_id is None}
    unknown = next((name for name in wish.role_names if name not in roles), None)
    if unknown is not None:
        log.warning("a mapping names a role that is not there", role=unknown[:255])
        raise Unauthenticated(_NO)
    return Provision(
        project_id=ProjectId(new_hex_id()),
        domain_id=DomainId(_domain_id(view, wish.domain) or provider.domain_id),
        name=wish.name[:64],
        role_ids=tuple(RoleId(roles[name].id) for name in wish.role_names),
    )


def _domain_id(view: View, meant: DomainName | None) -> str | None:
    """The domain's id; an unknown one is refused."""
    if meant is None:
        return None
    id = meant.id or next((domain.id for domain in view.find(Domain, "name", meant.name or "")), None)
    if id is None or view.get(Domain, id) is None:
        log.warning("a mapping names a domain that is not there", domain=(meant.id or meant.name or "")[:64])
        raise Unauthenticated(_NO)
    return id


_PATH = "/OS-FEDERATION/identity_providers/{provider_id}/protocols/{protocol_id}/auth"

ROUTES = tuple(
    Route(verb=verb, path=_PATH, handler=sign_in, allow=Allow.ANYONE, done=Done.CREATED, body_max=16 * 1024)
    for verb in ("GET", "POST")
)
