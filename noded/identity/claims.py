"""How do claims of OpenID Connect look to a mapping? As the usual web server module hands them to Keystone. Pure.

A claim `email` is found as `OIDC-email`, `HTTP_OIDC_EMAIL` and `OIDC_CLAIM_email`, so mappings written for either way
of setting that module up work here. A claim inside another one is also found by both names: `OIDC-realm_access.roles`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from noded.identity.mapping import Assertion

REMOTE_USER: Final = "REMOTE_USER"
VALUES_MAX: Final = 1000  # of one claim
CLAIMS_MAX: Final = 500
_OTHER: Final = re.compile(r"[^A-Z0-9]")


def assertion_of(claims: Mapping[str, Any]) -> Assertion:
    """Each claim under each of its names. A text is several values where `;` divides it, as Keystone reads it."""
    assertion: dict[str, tuple[str, ...]] = {}
    for name, value in list(_flat(claims))[:CLAIMS_MAX]:
        values = _values(value)
        if values:
            assertion[f"OIDC-{name}"] = values
            assertion[f"OIDC_CLAIM_{name}"] = values
            assertion[f"HTTP_OIDC_{_OTHER.sub('_', name.upper())}"] = values
    subject = claims.get("sub")
    if isinstance(subject, str) and subject:
        assertion[REMOTE_USER] = (subject,)
    return assertion


def _flat(claims: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in claims.items():
        yield name, value
        if isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", each) for inner, each in value.items())


def _values(value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(_word(each) for each in value[:VALUES_MAX])
    if isinstance(value, str):
        return tuple(value.split(";")[:VALUES_MAX]) if value else ()
    return () if value is None else (_word(value),)


def _word(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "1" if value else "0"
    return json.dumps(value, sort_keys=True)
