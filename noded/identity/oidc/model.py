"""What must be known of an OpenID Connect provider beside its issuer? Pure.

Keystone leaves this to the web server's module, so its API has no place for it.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from noded.core.errors import Invalid

AUDIENCES_MAX: Final = 32
TEXT_MAX: Final = 4096
CA_CHARS_MAX: Final = 64 * 1024


class OidcForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings as the API takes them."""

    audiences: tuple[str, ...] = ()  # a token must be meant for one of these; empty: for `client_id`
    client_id: str = ""  # with its secret: what this cloud is to the provider when it asks about opaque tokens
    client_secret: str = ""
    always_ask: bool = False  # ask the provider about every token, so one that it revoked counts no more
    user_info: bool = False  # add the claims of the provider's user info endpoint
    ca_pem: str = ""  # who signs the provider's certificates; empty: the authorities that the system trusts
    allow_http: bool = False  # for a provider on a trusted network that has no TLS

    def __repr__(self) -> str:
        return f"OidcForm(audiences={self.audiences!r}, client_id={self.client_id!r})"  # never the secret


def expect_sense(form: OidcForm) -> None:
    """Raises `Invalid` that names what makes no sense."""
    if not form.audiences and not form.client_id:
        raise Invalid(
            "audiences or client_id must be given: without, a token that the provider made for any other application"
            " would open this cloud."
        )
    if len(form.audiences) > AUDIENCES_MAX:
        raise Invalid(f"audiences holds {len(form.audiences)} words; at most {AUDIENCES_MAX} are taken.")
    if any(not 0 < len(each) <= TEXT_MAX for each in form.audiences):
        raise Invalid(f"Each of audiences must have from 1 to {TEXT_MAX} characters.")
    for name in ("client_id", "client_secret"):
        if len(getattr(form, name)) > TEXT_MAX:
            raise Invalid(f"{name} is longer than {TEXT_MAX} characters.")
    if len(form.ca_pem) > CA_CHARS_MAX:
        raise Invalid(f"ca_pem is longer than {CA_CHARS_MAX} characters.")
    if form.always_ask and not form.client_id:
        raise Invalid("always_ask needs client_id and client_secret: the provider answers only whom it knows.")


def issuers(remote_ids: Sequence[str], *, allow_http: bool) -> list[str]:
    """The remote ids that are an issuer's address, so that its keys can be fetched."""
    schemes = {"https", "http"} if allow_http else {"https"}
    return [each for each in remote_ids if urlsplit(each).scheme in schemes and urlsplit(each).hostname]
