"""Orders about how tokens of identity providers are checked."""

from typing import ClassVar

import msgspec

from noded.core.command import Command
from noded.core.store import Transaction
from noded.identity.oidc.model import OidcForm, expect_sense
from noded.identity.providers import IdentityProvider, OidcSettings


class SetOidcSettings(Command, frozen=True, kw_only=True, tag="oidc_settings.set.1"):
    """Tokens of the identity provider are checked so from now on."""

    TOLD: ClassVar[str] = "set how tokens of the identity provider {provider_id} are checked"

    provider_id: str
    settings: OidcForm

    def apply(self, tx: Transaction) -> None:
        tx.need(IdentityProvider, self.provider_id)
        expect_sense(self.settings)
        tx.put(OidcSettings(id=self.provider_id, **msgspec.structs.asdict(self.settings)))


class DeleteOidcSettings(Command, frozen=True, kw_only=True, tag="oidc_settings.delete.1"):
    """Nobody signs in by a token of the identity provider any more."""

    TOLD: ClassVar[str] = "removed how tokens of the identity provider {provider_id} are checked"

    FREES_ROOM: ClassVar[bool] = True

    provider_id: str

    def apply(self, tx: Transaction) -> None:
        tx.delete(OidcSettings, tx.need(OidcSettings, self.provider_id).id)
