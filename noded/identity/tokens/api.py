"""Answers /auth: signing in, looking at tokens, ending them, and what a token opens."""

from dataclasses import replace
from typing import Final, Literal

import structlog

from noded.core.clock import now_ms
from noded.core.errors import Forbidden, Invalid, NotFound, Refused, Unauthenticated
from noded.core.route import Allow, Done, Request, Response, Route
from noded.core.store import View
from noded.core.units import KIB
from noded.gateway.catalog import Catalog
from noded.gateway.freshness import freshest_view
from noded.identity import views
from noded.identity.guesses.authority import note_failure, note_success
from noded.identity.links import Passwords
from noded.identity.listing import listed
from noded.identity.model import SYSTEM_ID, Domain, Scope, User
from noded.identity.offers import catalogue
from noded.identity.sign_in_rules.model import DAY_MS, is_expired, is_inactive, must_be_noted, rules_of
from noded.identity.standing import (
    Standing,
    active_user,
    by_name,
    domains_of,
    is_of_system,
    projects_of,
    roles_of,
    standing_of,
)
from noded.identity.tokens.commands import RevokeToken
from noded.identity.tokens.delegated.api import prove_by_application_credential, prove_by_oauth, standing_by
from noded.identity.tokens.forms import (
    ApplicationProof,
    AuthBody,
    DomainRef,
    Identity,
    PasscodeUser,
    ProjectRef,
    ScopeForm,
    UserProof,
    UserRef,
)
from noded.identity.tokens.issuing import RECEIPT, TOKEN_LIFE_MS, Proof, answer, give_receipt, issue
from noded.identity.tokens.passcodes import is_right
from noded.identity.tokens.recognize import worth
from noded.identity.tokens.seal import METHODS, Token, TokenBook
from noded.identity.users.commands import NoteActive, RehashPassword

SUBJECT: Final = "x-subject-token"
Wish = ScopeForm | Literal["unscoped"] | None
_NO: Final = "The request you have made requires authentication."

_GUESSED: Final = frozenset({"password", "totp"})  # the methods at which one could try and try

log = structlog.get_logger(__name__)


async def issue_token(request: Request) -> Response:
    """POST /auth/tokens."""
    auth = (await request.json(AuthBody)).auth
    # The user, or a role of theirs, may have been made through another node just now.
    await freshest_view(request.cluster)
    proof = await _prove(request, auth.identity)
    if proof.through is None:  # a program that was let in has no second factor to give
        proof = _with_receipt(request, proof)
        if _needs_more(proof):
            return give_receipt(request, proof)
    if not _GUESSED.isdisjoint(auth.identity.methods):
        # Not before all factors are right: who knows the password shall not try passcodes for ever.
        await note_success(request, proof.user.id, now_ms())
    view = request.cluster.view()
    trust_id = _trust_id(auth.scope)
    if proof.through is not None or trust_id is not None:
        _expect_alone(auth.scope, proof)
        return issue(request, proof, await standing_by(request, proof, trust_id))
    scope, target_id = _scope_of(view, auth.scope, proof)
    return issue(request, proof, standing_of(view, proof.user.id, scope, target_id, proof.vouched))


def _trust_id(asked: Wish) -> str | None:
    if asked is None or asked == "unscoped" or asked.trust is None:
        return None
    return asked.trust.id or ""


def _expect_alone(asked: Wish, proof: Proof) -> None:
    """What is asked through a delegation can't be asked for another place than the one that it is for."""
    if proof.through is not None and asked is not None:
        raise Unauthenticated("Application credentials and OAuth access tokens cannot request a scope.")
    if asked is None or asked == "unscoped":
        return
    if any(wish is not None for wish in (asked.project, asked.domain, asked.system, asked.unscoped)):
        raise Forbidden("A scope is a trust, or a project, a domain or the system; not two of them.")


async def show_token(request: Request) -> Response:
    """GET and HEAD /auth/tokens."""
    sealed, token, standing = _subject(request)
    return answer(request, sealed, token, standing)


async def revoke_token(request: Request) -> Response:
    """DELETE /auth/tokens."""
    _, token, standing = _subject(request)
    if standing.user.id != request.caller.user_id and not request.caller.is_admin:
        raise Forbidden("You are not authorized to perform this: it is someone else's token.")
    await request.cluster.propose(RevokeToken(audit_id=token.audit_ids[0], expires_ms=token.expires_ms))
    return Response()


async def show_catalog(request: Request) -> Response:
    """GET /auth/catalog."""
    if not request.caller.roles:
        raise Forbidden("An unscoped token opens no API, so it has no catalogue.")
    entries = catalogue(
        request.cluster.view(),
        request.driver(Catalog),
        request.base_url,
        request.caller.user_id,
        request.caller.project_id,
    )
    links = {"next": None, "self": views.link(request.base_url, "auth", "catalog"), "previous": None}
    return Response(body={"catalog": entries, "links": links})


async def list_projects(request: Request) -> Response:
    """GET /auth/projects: what the caller may scope a token to."""
    found = projects_of(request.cluster.view(), request.caller.user_id, request.caller.group_ids)
    entries = [views.project(request.base_url, project) for project in found]
    return listed(request, "projects", entries, views.link(request.base_url, "auth", "projects"))


async def list_domains(request: Request) -> Response:
    """GET /auth/domains: what the caller may scope a token to."""
    found = domains_of(request.cluster.view(), request.caller.user_id, request.caller.group_ids)
    entries = [views.domain(request.base_url, domain) for domain in found]
    return listed(request, "domains", entries, views.link(request.base_url, "auth", "domains"))


async def list_systems(request: Request) -> Response:
    """GET /auth/system: whether the caller may scope a token to the whole system."""
    held = is_of_system(request.cluster.view(), request.caller.user_id, request.caller.group_ids)
    entries = [{"all": True}] if held else []
    links = {"self": views.link(request.base_url, "auth", "system")}
    return Response(body={"system": entries, "links": links})


async def _prove(request: Request, identity: Identity) -> Proof:
    """Who signs in. Raises `Unauthenticated` without saying what was wrong."""
    unknown = [method for method in identity.methods if method not in METHODS]
    if unknown:
        raise Unauthenticated(f"Attempted to authenticate with an unsupported method: {unknown[0]}.")
    proofs = [await _proof_of(request, identity, method) for method in METHODS if method in identity.methods]
    if len(proofs) > 1 and any(proof.through is not None for proof in proofs):
        raise Unauthenticated(_NO)  # a delegation stands alone
    if any(proof.user.id != proofs[0].user.id for proof in proofs):
        raise Unauthenticated(_NO)
    methods = tuple(dict.fromkeys(method for proof in proofs for method in proof.methods))
    return replace(proofs[-1], methods=methods)


async def _proof_of(request: Request, identity: Identity, method: str) -> Proof:
    if method == "oauth1":
        return prove_by_oauth(request)  # all of it is in a header
    if getattr(identity, method) is None:
        raise Invalid(f"Invalid input: Object missing required field `{method}` - at `$.auth.identity`.")
    if identity.password is not None and method == "password":
        return await _prove_by_password(request, identity.password.user)
    if identity.totp is not None and method == "totp":
        return await _prove_by_passcode(request, identity.totp.user)
    if identity.token is not None and method == "token":
        return _prove_by_token(request, identity.token.id)
    assert identity.application_credential is not None, method
    return await _prove_by_application(request, identity.application_credential)


def _with_receipt(request: Request, proof: Proof) -> Proof:
    """With the methods that the same user has gone through a moment ago, if a receipt says so."""
    receipt = request.headers.get(RECEIPT)
    if receipt is None:
        return proof
    before = request.driver(TokenBook).open_receipt(request.cluster.view(), receipt, now_ms())
    if (before.user_id, before.password_generation) != (proof.user.id, proof.user.password_generation):
        raise Unauthenticated(_NO)
    return replace(proof, methods=tuple(dict.fromkeys((*before.methods, *proof.methods))))


def _needs_more(proof: Proof) -> bool:
    """Whether the user has to give further factors. Raises `Unauthenticated` if no rule begins with those given."""
    options = proof.user.options
    rules = options.get("multi_factor_auth_rules") or ()
    if not options.get("multi_factor_auth_enabled") or not rules:
        return False
    if any(set(rule) <= set(proof.methods) for rule in rules):
        return False
    if not any(set(proof.methods) & set(rule) for rule in rules):
        raise Unauthenticated(_NO)
    return True


async def _prove_by_password(request: Request, claimed: UserProof) -> Proof:
    user = _claimed_user(request.cluster.view(), claimed)
    if user is not None and user.locked_until_ms > now_ms():
        raise Unauthenticated(_NO)  # nothing that is said now can be right, so none of it is worth a hash
    password_hash = None if user is None else user.password_hash
    matches = await request.driver(Passwords).matches(
        password_hash, claimed.password, request.cluster.origin.address, rules_of(request.cluster.view()).hash_cost
    )
    now = now_ms()
    # Hashing took a while: the user as they are now counts, and it is not told which of these it was.
    current = None if user is None else request.cluster.view().get(User, user.id)
    if user is None or current is None or current.password_generation != user.password_generation:
        raise Unauthenticated(_NO)
    if not matches:
        await note_failure(request, current, now)
        raise Unauthenticated(_NO)
    if current.locked_until_ms > now:
        raise Unauthenticated(_NO)
    active_user(request.cluster.view(), current.id)
    if is_expired(current, now):
        raise Unauthenticated(f"The password is expired and needs to be changed for user: {current.id}.")
    rules = rules_of(request.cluster.view())
    if is_inactive(rules, current, now):
        raise Unauthenticated(_NO)
    await _renew_hash(request, current, claimed.password)
    if must_be_noted(rules, current, now):
        await request.cluster.propose(NoteActive(user_id=current.id, day=now // DAY_MS))
    return Proof(user=current, methods=("password",), expires_ms=now + TOKEN_LIFE_MS)


async def _renew_hash(request: Request, user: User, password: str) -> None:
    """Hash it as it is done now, if it came from elsewhere or was made cheaper. Who is let in is so in any case."""
    passwords, cost = request.driver(Passwords), rules_of(request.cluster.view()).hash_cost
    if user.password_hash is None or passwords.is_current(user.password_hash, cost):
        return
    try:
        fresh = await passwords.hash(password, cost=cost)
        order = RehashPassword(user_id=user.id, password_hash=fresh, of_generation=user.password_generation)
        await request.cluster.propose(order)
    except Refused as reason:
        log.info("a password was not hashed anew", user=user.id, reason=reason.message)


async def _prove_by_passcode(request: Request, claimed: PasscodeUser) -> Proof:
    view, now = request.cluster.view(), now_ms()
    user = _claimed_user(view, claimed, "auth.identity.totp.user")
    if user is None or user.locked_until_ms > now:
        raise Unauthenticated(_NO)
    if not is_right(view, user.id, claimed.passcode, now):
        await note_failure(request, user, now)
        raise Unauthenticated(_NO)
    active_user(view, user.id)
    return Proof(user=user, methods=("totp",), expires_ms=now + TOKEN_LIFE_MS)


async def _prove_by_application(request: Request, claimed: ApplicationProof) -> Proof:
    owner = None
    if claimed.id is None:
        if claimed.name is None or claimed.user is None:
            raise Invalid(
                "Invalid input: an application credential needs `id`, or `name` and `user` - at"
                " `$.auth.identity.application_credential`."
            )
        owner = _claimed_user(request.cluster.view(), claimed.user, "auth.identity.application_credential.user")
    return await prove_by_application_credential(request, claimed, owner)


def _claimed_user(
    view: View, claimed: UserProof | UserRef | PasscodeUser, where: str = "auth.identity.password.user"
) -> User | None:
    if claimed.id is not None:
        return view.get(User, claimed.id)
    if claimed.name is None:
        raise Invalid(f"Invalid input: a user needs `id`, or `name` and `domain` - at `$.{where}`.")
    domain_id = _domain_id(view, claimed.domain, f"{where}.domain")
    named = [user for user in view.find(User, "name", claimed.name) if user.domain_id == domain_id]
    # Whom an identity provider vouches for may be called like somebody who signs in by that name.
    return min(named, key=lambda user: len(user.federated), default=None)


def _prove_by_token(request: Request, text: str) -> Proof:
    view = request.cluster.view()
    token = request.driver(TokenBook).open(view, text, now_ms())
    try:
        standing = worth(view, token)
    except Unauthenticated:
        # Keystone's distinction: a token that was good once and ended is "not found" here, a forged one is refused.
        raise NotFound("Could not find token.") from None
    if standing.through is not None:
        raise Forbidden(
            "A token that was made through a trust, an application credential or an OAuth access token can't be used to"
            " create another token. Create a new one the same way instead."
        )
    methods = ("token", *(method for method in token.methods if method != "token"))
    return Proof(
        user=standing.user,
        methods=methods,
        expires_ms=token.expires_ms,
        first_audit_id=token.audit_ids[-1],
        vouched=standing.vouched,
    )


def _scope_of(view: View, asked: Wish, proof: Proof) -> tuple[Scope, str]:
    """Which scope the token shall have. Without a wish it is the user's default project, if that can be had."""
    if asked is None:
        default, groups = proof.user.default_project_id, () if proof.vouched is None else proof.vouched.group_ids
        if default is not None and roles_of(view, proof.user.id, Scope.PROJECT, default, groups):
            return Scope.PROJECT, default
        return Scope.NONE, ""
    if asked == "unscoped":
        return Scope.NONE, ""
    wishes = [wish for wish in (asked.project, asked.domain, asked.system, asked.unscoped) if wish is not None]
    if len(wishes) != 1 or (asked.system is not None and not asked.system.all):
        raise Invalid("Invalid input: a scope is one of `project`, `domain` and `system` - at `$.auth.scope`.")
    return _named_scope(view, asked)


def _named_scope(view: View, asked: ScopeForm) -> tuple[Scope, str]:
    if asked.project is not None:
        return Scope.PROJECT, _project_id(view, asked.project)
    if asked.domain is not None:
        return Scope.DOMAIN, _domain_id(view, asked.domain, "auth.scope.domain")
    return (Scope.NONE, "") if asked.system is None else (Scope.SYSTEM, SYSTEM_ID)


def _project_id(view: View, asked: ProjectRef) -> str:
    if asked.id is not None:
        return asked.id
    if asked.name is None:
        raise Invalid("Invalid input: a project needs `id`, or `name` and `domain` - at `$.auth.scope.project`.")
    found = by_name(view, asked.name, _domain_id(view, asked.domain, "auth.scope.project.domain"))
    if found is None:
        raise Unauthenticated(_NO)
    return found


def _domain_id(view: View, asked: DomainRef | None, where: str) -> str:
    """The domain meant; an unknown name becomes an id that nothing has, so it takes as long as a known one."""
    if asked is None or (asked.id is None and asked.name is None):
        raise Invalid(f"Invalid input: a domain needs `id` or `name` - at `$.{where}`.")
    if asked.id is not None:
        return asked.id
    return next((domain.id for domain in view.find(Domain, "name", asked.name)), "")


def _subject(request: Request) -> tuple[str, Token, Standing]:
    """The token asked about: the caller's own, or anyone's for an administrator or a service."""
    sealed = request.headers.get(SUBJECT, "")
    view = request.cluster.view()
    caller = request.caller
    try:
        book = request.driver(TokenBook)
        token = book.open(view, sealed, now_ms())
        standing = worth(view, token, book)
    except Unauthenticated:
        raise NotFound("Could not find token.") from None
    if standing.user.id != caller.user_id and "service" not in caller.roles and not caller.oversees:
        raise Forbidden("You are not authorized to perform this: it is someone else's token.")
    return sealed, token, standing


ROUTES = (
    Route(
        verb="POST",
        path="/auth/tokens",
        handler=issue_token,
        allow=Allow.ANYONE,
        done=Done.CREATED,
        body_max=64 * KIB,
    ),
    Route(verb="GET", path="/auth/tokens", handler=show_token, allow=Allow.ANY_TOKEN),
    Route(verb="DELETE", path="/auth/tokens", handler=revoke_token, allow=Allow.ANY_TOKEN, done=Done.EMPTY),
    Route(verb="GET", path="/auth/catalog", handler=show_catalog, allow=Allow.ANY_TOKEN),
    Route(verb="GET", path="/auth/projects", handler=list_projects, allow=Allow.ANY_TOKEN),
    Route(verb="GET", path="/auth/domains", handler=list_domains, allow=Allow.ANY_TOKEN),
    Route(verb="GET", path="/auth/system", handler=list_systems, allow=Allow.ANY_TOKEN),
)
