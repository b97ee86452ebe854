"""Which clouds and sign-in services are trusted from outside? Identity providers, mappings, service providers.

An identity provider says who somebody is; a mapping says who that is here; a service provider is another cloud that
takes our word. The records stand outside the service folders because domains and tokens look at them too.
"""

from typing import Any, ClassVar

from noded.core.record import Record
from noded.core.store import Transaction


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


def protocol_key(provider_id: str, name: str) -> str:
    """The id that a protocol has on every node."""
    return f"{provider_id}/{name}"


def remove_provider(tx: Transaction, provider: IdentityProvider) -> None:
    """The identity provider goes, with its protocols."""
    for protocol in tx.find(Protocol, "provider_id", provider.id):
        tx.delete(Protocol, protocol.id)
    tx.delete(IdentityProvider, provider.id)


def forget_domain(tx: Transaction, domain_id: str) -> None:
    """The domain goes: so do the identity providers whose users were in it."""
    for provider in tx.find(IdentityProvider, "domain_id", domain_id):
        remove_provider(tx, provider)
