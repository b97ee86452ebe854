"""Which clouds and sign-in services are trusted from outside? Identity providers, mappings, service providers.

An identity provider says who somebody is; a mapping says who that is here; a service provider is another cloud that
takes our word. The records stand outside the service folders because domains and tokens look at them too.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from noded.core.record import Record
from noded.core.store import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """By whom a token's user was vouched for, and in which groups they are as long as the token lasts."""

    provider_id: str
    protocol: str
    group_ids: tuple[str, ...] = ()


class IdentityProvider(Record, frozen=True, kw_only=True, tag="identity_provider.1"):
    """Who vouches for users, whose names here stand in `domain_id`."""

    INDEXED: ClassVar[tuple[str, ...]] = ("domain_id", "remote_ids")
    NOUN: ClassVar[str] = "identity provider"

    id: str
    domain_id: str
    enabled: bool = False
    description: str | None = None
    remote_ids: tuple[str, ...] = ()
    authorization_ttl: int | None = None  # minutes


class Protocol(Record, frozen=True, kw_only=True, tag="federation_protocol.1"):
    """How an identity provider speaks, and which mapping reads what it says."""

    INDEXED: ClassVar[tuple[str, ...]] = ("provider_id", "mapping_id")
    NOUN: ClassVar[str] = "federation protocol"

    id: str  # `protocol_key`
    name: str
    provider_id: str
    mapping_id: str
    remote_id_attribute: str | None = None


class Mapping(Record, frozen=True, kw_only=True, tag="federation_mapping.1"):
    """Rules that turn what an identity provider says into a user, groups and projects here."""

    NOUN: ClassVar[str] = "mapping"

    id: str
    rules: tuple[dict[str, Any], ...]
    schema_version: str = "1.0"


class ServiceProvider(Record, frozen=True, kw_only=True, tag="service_provider.1"):
    """Another cloud that takes this cloud's word for who its users are."""

    NOUN: ClassVar[str] = "service provider"

    id: str
    auth_url: str
    sp_url: str
    enabled: bool = False
    description: str | None = None
    relay_state_prefix: str | None = "ss:mem:"


class OidcSettings(Record, frozen=True, kw_only=True, tag="oidc_settings.1"):
    """How tokens of one identity provider are checked."""

    NOUN: ClassVar[str] = "settings for OpenID Connect of identity provider"

    id: str  # the identity provider's
    audiences: tuple[str, ...] = ()
    client_id: str = ""
    client_secret: str = ""
    always_ask: bool = False
    user_info: bool = False
    ca_pem: str = ""
    allow_http: bool = False

    @property
    def meant_for(self) -> frozenset[str]:
        """The audiences that count."""
        return frozenset(self.audiences or ((self.client_id,) if self.client_id else ()))


def protocol_key(provider_id: str, name: str) -> str:
    """The id that a protocol has on every node."""
    return f"{provider_id}/{name}"


def remove_provider(tx: Transaction, provider: IdentityProvider) -> None:
    """The identity provider goes, with its protocols."""
    for protocol in tx.find(Protocol, "provider_id", provider.id):
        tx.delete(Protocol, protocol.id)
    if tx.get(OidcSettings, provider.id) is not None:
        tx.delete(OidcSettings, provider.id)
    tx.delete(IdentityProvider, provider.id)


def forget_domain(tx: Transaction, domain_id: str) -> None:
    """The domain goes: so do the identity providers whose users were in it."""
    for provider in tx.find(IdentityProvider, "domain_id", domain_id):
        remove_provider(tx, provider)
