"""How fast may a user ask, and pages of which sites may call the APIs? One record for the whole cloud. Pure."""

import re
from typing import ClassVar, Final

import msgspec

from noded.core.errors import Invalid
from noded.core.record import Record
from noded.core.store import View

RULES_ID: Final = "rules"
ORIGINS_MAX: Final = 100
RATE_MAX: Final = 100_000
ANY_SITE: Final = "*"
# As browsers write it (RFC 6454, 7): scheme, host, and a port that is not the usual one.
_ORIGIN: Final = re.compile(r"https?://(\[[0-9a-f:.]+\]|[0-9a-z._-]+)(:[0-9]{1,5})?", re.ASCII)


class GatewayRules(Record, frozen=True, kw_only=True, tag="gateway_rules.1"):
    """0: as fast as they can; no origins: pages of no other site."""

    NOUN: ClassVar[str] = "rules of the gateway"

    id: str = RULES_ID
    requests_s: int = 0  # of one user, at one node, in the long run
    burst: int = 0  # what they may ask at once before that; 0: ten seconds' worth
    origins: tuple[str, ...] = ()


class GatewayRulesForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rules as the API takes and gives them."""

    requests_s: int = 0
    burst: int = 0
    origins: tuple[str, ...] = ()


def gateway_rules(view: View) -> GatewayRules | None:
    """The rules that were set; None: none were."""
    return view.get(GatewayRules, RULES_ID)


def expect_sense(form: GatewayRulesForm) -> None:
    """Raises `Invalid` that names what makes no sense."""
    for name, value in (("requests_s", form.requests_s), ("burst", form.burst)):
        if not 0 <= value <= RATE_MAX:
            raise Invalid(f"{name} must be from 0 to {RATE_MAX}; {value} was asked for.")
    if form.burst and not form.requests_s:
        raise Invalid("burst says how many requests may come at once above requests_s, which is 0: no limit.")
    if len(form.origins) > ORIGINS_MAX:
        raise Invalid(f"There may be {ORIGINS_MAX} origins; {len(form.origins)} were given.")
    for origin in form.origins:
        if origin != ANY_SITE and _ORIGIN.fullmatch(origin) is None:
            raise Invalid(f"{origin[:200]!r} is no origin: one is written https://name or https://name:port, or *.")
