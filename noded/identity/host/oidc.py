"""Is this token an OpenID Connect provider's? Fetches the provider's keys, checks signature, issuer, audience and time.

(OpenID Connect Discovery 1.0; RFC 7517, 7519, 9068; RFC 7662 for tokens that only their provider can read.)

Only providers that an administrator named are asked, by the address that was given: nothing of a token says where to
go, beyond which of them is meant. Every answer is bounded in bytes and time, no redirect is followed, and few requests
run at once, so neither a slow provider nor a flood of tokens holds up anything else.
"""

import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog
import trio
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import extract_compact

from noded.core.clock import now_ms
from noded.core.errors import Unauthenticated, Unavailable
from noded.identity.providers import OidcSettings

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
TOKEN_CHARS_MAX: Final = 16 * 1024
ANSWER_BYTES_MAX: Final = 256 * 1024
ANSWER_S_MAX: Final = 5.0
AT_ONCE_MAX: Final = 4
WAITING_MAX: Final = 64
KEPT_MS: Final = 600_000  # a key that the provider withdrew counts no longer than that
AGAIN_MS: Final = 10_000  # for a key that is not among the known ones the provider is asked no more often
PROVIDERS_MAX: Final = 64
LEEWAY_S: Final = 30  # clocks differ
_NO: Final = "The request you have made requires authentication."

log = structlog.get_logger(__name__)


Asker = Callable[
    [str, str, ssl.SSLContext, Mapping[str, str], Mapping[str, str] | None, tuple[str, str] | None], Awaitable[bytes]
]


@dataclass(slots=True)
class _Provider:
    """What is known of one issuer."""

    told: dict[str, Any] = field(default_factory=dict)  # its discovery document
    keys: KeySet | None = None
    fetched_ms: int = 0
    lock: trio.Lock = field(default_factory=trio.Lock)


class OidcChecker:
    """Implements `noded.identity.oidc.links.OidcTokens`."""

    def __init__(self, ask: Asker | None = None, clock: Callable[[], int] = now_ms) -> None:
        self._content, self._clock = ask or ask_by_http, clock
        self._providers: dict[tuple[str, OidcSettings], _Provider] = {}
        self._places = trio.CapacityLimiter(AT_ONCE_MAX)

    async def claims(self, issuers: Sequence[str], settings: OidcSettings, token: str) -> Mapping[str, Any]:
        """What a valid token says; see the protocol."""
        if len(token) > TOKEN_CHARS_MAX or not token.isascii():
            raise Unauthenticated(_NO)
        issuer = _claimed_issuer(token)
        if issuer is None or settings.always_ask:
            claims = await self._introspected(issuers, settings, token, issuer)
        elif issuer in issuers:
            claims = await self._verified(issuer, settings, token)
        else:
            log.info("a token of another issuer was refused", provider=settings.id, issuer=issuer[:255])
            raise Unauthenticated(_NO)
        self._expect_meant(claims, settings, is_opaque=issuer is None)
        if settings.user_info:
            claims = {**await self._user_info(claims, issuers, settings, token), **claims}
        return claims

    async def _verified(self, issuer: str, settings: OidcSettings, token: str) -> dict[str, Any]:
        provider = self._provider(issuer, settings)
        key_id = extract_compact(token.encode()).headers().get("kid")
        keys = await self._keys(issuer, settings, provider, None if key_id is None else str(key_id))
        try:
            return dict(jwt.decode(token, keys, algorithms=list(ALGORITHMS)).claims)
        except (JoseError, ValueError, TypeError) as reason:
            log.info("a token was refused", provider=settings.id, reason=str(reason)[:255])
            raise Unauthenticated(_NO) from None

    async def _introspected(
        self, issuers: Sequence[str], settings: OidcSettings, token: str, issuer: str | None
    ) -> dict[str, Any]:
        """What the provider itself says of the token (RFC 7662)."""
        if not settings.client_id or not issuers or (issuer is not None and issuer not in issuers):
            log.info("a token that only its provider can read was refused: client_id is not set", provider=settings.id)
            raise Unauthenticated(_NO)
        issuer = issuer or issuers[0]
        told = await self._told(issuer, settings, self._provider(issuer, settings))
        if "introspection_endpoint" not in told:
            log.info("a token was refused: it can't be read, and its provider reads none", provider=settings.id)
            raise Unauthenticated(_NO)
        answer = await self._fetch(
            _address(told, "introspection_endpoint", settings),
            settings,
            form={"token": token, "token_type_hint": "access_token"},
            login=(settings.client_id, settings.client_secret),
        )
        if answer.get("active") is not True:
            raise Unauthenticated(_NO)
        return {"iss": issuer, **answer}

    def _expect_meant(self, claims: Mapping[str, Any], settings: OidcSettings, *, is_opaque: bool) -> None:
        """Raises `Unauthenticated` for a token that is meant for somebody else, or not for now."""
        audience = claims.get("aud")
        named = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
        if is_opaque and not named:  # RFC 7662 may leave it out; whom it was given to is then what is known
            named = [claims.get("client_id")]
        now_s = self._clock() // 1000
        reason = ""
        if not settings.meant_for.intersection(each for each in named if isinstance(each, str)):
            reason = "it is meant for somebody else"
        elif not is_opaque and not _is_number(claims.get("exp")):
            reason = "it does not say when it ends"
        elif _is_number(claims.get("exp")) and claims["exp"] + LEEWAY_S <= now_s:
            reason = "it has ended"
        elif any(_is_number(claims.get(name)) and claims[name] - LEEWAY_S > now_s for name in ("nbf", "iat")):
            reason = "it is not valid yet"
        elif not isinstance(claims.get("sub") or claims.get("username"), str):
            reason = "it does not say whose it is"
        if reason:
            log.info("a token was refused", provider=settings.id, reason=reason)
            raise Unauthenticated(_NO)

    async def _user_info(
        self, claims: Mapping[str, Any], issuers: Sequence[str], settings: OidcSettings, token: str
    ) -> dict[str, Any]:
        """What the provider says of the user (OpenID Connect Core 5.3); of the token's own user, or it is refused."""
        issuer = str(claims.get("iss") or issuers[0])
        told = await self._told(issuer, settings, self._provider(issuer, settings))
        answer = await self._fetch(_address(told, "userinfo_endpoint", settings), settings, bearer=token)
        if answer.get("sub") != claims.get("sub"):
            raise Unauthenticated(_NO)
        return answer

    def _provider(self, issuer: str, settings: OidcSettings) -> _Provider:
        """What is known of the issuer under these settings: others may trust other authorities."""
        if (issuer, settings) not in self._providers:
            while len(self._providers) >= PROVIDERS_MAX:
                self._providers.pop(next(iter(self._providers)))
            self._providers[issuer, settings] = _Provider()
        return self._providers[issuer, settings]

    async def _keys(self, issuer: str, settings: OidcSettings, provider: _Provider, key_id: str | None) -> KeySet:
        """The provider's keys, fetched again when they are old, or when the one that is asked for is new."""
        async with provider.lock:
            age = self._clock() - provider.fetched_ms
            if provider.keys is None or age > KEPT_MS or (age > AGAIN_MS and not _has(provider.keys, key_id)):
                await self._ask(issuer, settings, provider)
            assert provider.keys is not None
            return provider.keys

    async def _told(self, issuer: str, settings: OidcSettings, provider: _Provider) -> dict[str, Any]:
        await self._keys(issuer, settings, provider, None)
        return provider.told

    async def _ask(self, issuer: str, settings: OidcSettings, provider: _Provider) -> None:
        told = await self._fetch(issuer.rstrip("/") + "/.well-known/openid-configuration", settings)
        if told.get("issuer") != issuer:
            raise Unavailable(f"{issuer} says that it is {str(told.get('issuer'))[:255]}: it can't be trusted.")
        answer = await self._fetch(_address(told, "jwks_uri", settings), settings)
        try:
            keys = KeySet.import_key_set({"keys": [key for key in answer["keys"] if key.get("kty") != "oct"]})
        except (JoseError, KeyError, ValueError, TypeError, AttributeError) as reason:
            raise Unavailable(f"The keys of {issuer} can't be read: {reason}.") from None
        provider.told, provider.keys, provider.fetched_ms = told, keys, self._clock()

    async def _fetch(
        self,
        url: str,
        settings: OidcSettings,
        *,
        form: Mapping[str, str] | None = None,
        login: tuple[str, str] | None = None,
        bearer: str | None = None,
    ) -> dict[str, Any]:
        """A JSON object from the provider. Raises `Unavailable` that says what was wrong."""
        if self._places.statistics().tasks_waiting >= WAITING_MAX:
            raise Unavailable("Too many are signing in at this moment. Try again in a few seconds.")
        headers = {"accept": "application/json"} | ({} if bearer is None else {"authorization": f"Bearer {bearer}"})
        verb = "GET" if form is None else "POST"
        async with self._places:
            try:
                with trio.fail_after(ANSWER_S_MAX):
                    content = await self._content(verb, url, _trust(settings.ca_pem), headers, form, login)
                answer = msgspec.json.decode(content)
            except (httpx.HTTPError, httpx.InvalidURL, trio.TooSlowError, ValueError) as reason:
                what = str(reason) or f"no answer within {ANSWER_S_MAX:g} s"
                log.warning("an identity provider could not be asked", provider=settings.id, url=url, reason=what)
                raise Unavailable(f"The identity provider {settings.id} can't be asked at {url}: {what}.") from None
        if not isinstance(answer, dict):
            raise Unavailable(f"The identity provider {settings.id} answers no JSON object at {url}.")
        return answer


async def ask_by_http(
    verb: str,
    url: str,
    trust: ssl.SSLContext,
    headers: Mapping[str, str],
    form: Mapping[str, str] | None,
    login: tuple[str, str] | None,
) -> bytes:
    """The provider's answer, whole. Raises `ValueError` for one that is no success or too long."""
    auth = None if login is None else httpx.BasicAuth(*login)
    async with (
        httpx.AsyncClient(verify=trust, timeout=ANSWER_S_MAX, follow_redirects=False, trust_env=False) as client,
        client.stream(verb, url, headers=headers, data=form, auth=auth) as answer,
    ):
        if not answer.is_success:
            raise ValueError(f"it answers {answer.status_code}")
        content = bytearray()
        async for piece in answer.aiter_bytes():
            content += piece
            if len(content) > ANSWER_BYTES_MAX:
                raise ValueError(f"its answer is longer than {ANSWER_BYTES_MAX} bytes")
        return bytes(content)


@lru_cache(maxsize=16)
def _trust(ca_pem: str) -> ssl.SSLContext:
    """Reading all that the system trusts takes tens of milliseconds: not before each question."""
    return ssl.create_default_context(cadata=ca_pem or None)


def _address(told: Mapping[str, Any], name: str, settings: OidcSettings) -> str:
    """An address that the provider's own document gives."""
    url = told.get(name)
    schemes = {"https", "http"} if settings.allow_http else {"https"}
    if not isinstance(url, str) or urlsplit(url).scheme not in schemes:
        raise Unavailable(f"The identity provider {settings.id} names no {name} that can be used.")
    return url


def _claimed_issuer(token: str) -> str | None:
    """Who says to have made it, if it can be read; nothing is checked yet."""
    try:
        claims = msgspec.json.decode(extract_compact(token.encode()).payload)
    except (JoseError, ValueError, TypeError):
        return None
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    return issuer if isinstance(issuer, str) else None


def _has(keys: KeySet, key_id: str | None) -> bool:
    return key_id is None or any(key.kid == key_id for key in keys.keys)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
