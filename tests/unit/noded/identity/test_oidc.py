"""A provider's token counts if the provider signed it, for this cloud, and now."""

import json
import ssl
from collections.abc import Mapping
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey

from noded.core.errors import Unauthenticated, Unavailable
from noded.identity.host.oidc import AGAIN_MS, ANSWER_BYTES_MAX, KEPT_MS, OidcChecker
from noded.identity.providers import OidcSettings

ISSUER = "https://corp.test"
SETTINGS = OidcSettings(id="corp", client_id="noded", client_secret="s")
NOW_S = 1_800_000_000


class Provider:
    """What is asked of a provider, and its answers; the time, too."""

    def __init__(self) -> None:
        self.now_ms = NOW_S * 1000
        self.key = ECKey.generate_key("P-256", {"kid": "1"})
        self.asked: list[str] = []
        self.answers: dict[str, object] = {}
        self.told = {
            "issuer": ISSUER,
            "jwks_uri": f"{ISSUER}/keys",
            "introspection_endpoint": f"{ISSUER}/ask",
            "userinfo_endpoint": f"{ISSUER}/me",
        }
        self.checker = OidcChecker(self.ask, lambda: self.now_ms)

    async def ask(
        self, verb: str, url: str, trust: ssl.SSLContext, headers: Mapping[str, str],
        form: Mapping[str, str] | None, login: tuple[str, str] | None,
    ) -> bytes:  # fmt: skip
        path = url.removeprefix(ISSUER)
        self.asked.append(path)
        if path == "/keys":
            return json.dumps(KeySet([self.key]).as_dict(private=False)).encode()
        if path in self.answers:
            assert (form or {}).get("token") or headers.get("authorization")
            return json.dumps(self.answers[path]).encode()
        return json.dumps(self.told).encode()

    def token(self, key: ECKey | OctKey | None = None, alg: str = "ES256", **claims: Any) -> str:
        said = {"iss": ISSUER, "aud": "noded", "sub": "ann", "exp": NOW_S + 300, "iat": NOW_S} | claims
        said = {name: value for name, value in said.items() if value is not None}
        signing = key or self.key
        return jwt.encode({"alg": alg, "kid": signing.kid}, said, signing, algorithms=[alg])

    async def claims(self, token: str, settings: OidcSettings = SETTINGS) -> Mapping[str, Any]:
        return await self.checker.claims([ISSUER], settings, token)


@pytest.fixture
def provider() -> Provider:
    return Provider()


async def test_a_good_token_is_read_and_the_keys_are_fetched_once(provider: Provider) -> None:
    for _ in range(3):
        assert (await provider.claims(provider.token(groups=["a"])))["groups"] == ["a"]
    assert provider.asked == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"},
        {"aud": ["a", "b"]},
        {"aud": None},
        {"iss": "https://other.test"},
        {"iss": None},
        {"exp": NOW_S - 31},
        {"exp": None},
        {"nbf": NOW_S + 60},
        {"iat": NOW_S + 60},
        {"sub": None},
    ],
)
async def test_a_token_for_others_or_for_another_time_is_refused(provider: Provider, claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        await provider.claims(provider.token(**claims))


async def test_a_forged_token_is_refused(provider: Provider) -> None:
    stranger = ECKey.generate_key("P-256", {"kid": "1"})
    shared = OctKey.import_key(json.dumps(provider.key.as_dict(private=False)), {"kid": "1"})
    unsigned = provider.token().rsplit(".", 1)[0] + "."
    for token in (provider.token(stranger), provider.token(shared, "HS256"), unsigned, "x.y.z", "", "x" * 20_000):
        with pytest.raises(Unauthenticated):
            await provider.claims(token)


async def test_a_new_key_is_fetched_but_not_for_every_word(provider: Provider) -> None:
    old = provider.token()
    await provider.claims(old)
    provider.key = ECKey.generate_key("P-256", {"kid": "2"})
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await provider.claims(provider.token())
    assert provider.asked.count("/keys") == 1, "unknown keys must not make this node ask and ask"
    provider.now_ms += AGAIN_MS + 1
    await provider.claims(provider.token())
    with pytest.raises(Unauthenticated):
        await provider.claims(old)
    provider.now_ms += KEPT_MS + 1
    assert provider.asked.count("/keys") == 2
    with pytest.raises(Unauthenticated):  # both have ended by then, but the keys are asked for anew
        await provider.claims(provider.token())
    assert provider.asked.count("/keys") == 3


async def test_a_provider_that_calls_itself_otherwise_is_not_believed(provider: Provider) -> None:
    provider.told["issuer"] = "https://evil.test"
    with pytest.raises(Unavailable, match=r"evil\.test"):
        await provider.claims(provider.token())
    provider.told |= {"issuer": ISSUER, "jwks_uri": "http://169.254.169.254/keys"}
    with pytest.raises(Unavailable, match="jwks_uri"):
        await provider.claims(provider.token())
    assert "/keys" not in provider.asked


async def test_the_provider_itself_is_asked_about_what_only_it_can_read(provider: Provider) -> None:
    provider.answers["/ask"] = {"active": True, "sub": "ann", "client_id": "noded"}
    assert (await provider.claims("opaque"))["sub"] == "ann"
    for answer in ({"active": False}, {"active": True, "sub": "ann", "client_id": "other"}, {"active": True}):
        provider.answers["/ask"] = answer
        with pytest.raises(Unauthenticated):
            await provider.claims("opaque")
    provider.answers["/ask"] = {"active": False}
    always = OidcSettings(id="corp", client_id="noded", client_secret="s", always_ask=True)
    with pytest.raises(Unauthenticated):  # it was revoked there
        await provider.claims(provider.token(), always)


async def test_user_info_is_added_if_it_is_of_the_same_user(provider: Provider) -> None:
    settings = OidcSettings(id="corp", client_id="noded", user_info=True)
    provider.answers["/me"] = {"sub": "ann", "email": "a@b.c", "aud": "not this"}
    said = await provider.claims(provider.token(), settings)
    assert (said["email"], said["aud"]) == ("a@b.c", "noded")
    provider.answers["/me"] = {"sub": "bob", "email": "a@b.c"}
    with pytest.raises(Unauthenticated):
        await provider.claims(provider.token(), settings)


async def test_a_provider_that_can_not_be_asked_is_named(provider: Provider) -> None:
    checker = OidcChecker(clock=lambda: provider.now_ms)
    closed = OidcSettings(id="corp", client_id="noded", allow_http=True)
    with pytest.raises(Unavailable, match="corp"):
        await checker.claims(["http://127.0.0.1:9"], closed, provider.token(iss="http://127.0.0.1:9"))
    assert ANSWER_BYTES_MAX < 1024 * 1024
