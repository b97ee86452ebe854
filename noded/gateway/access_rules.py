"""May a restricted token make this request? The access rules of application credentials, checked before every handler.

A rule names a service by its catalogue type, a verb, and a path in which `*` and `{word}` stand for one part and `**`
for any number of them (Identity API v3, "Access rules"). The path is the one that the client used, or the same from the
version on, since other clouds mount the APIs elsewhere.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from noded.core.route import AccessRule
from noded.core.service import Endpoint

# Whoever is shown a token may always look at it.
_ALWAYS: Final = ("identity", "GET", "/v3/auth/tokens")
_PIECES: Final = re.compile(r"\{[^}]*\}|\*\*|\*|[^{}*]+|.")


def permits(rules: Iterable[AccessRule], endpoint: Endpoint, verb: str, path: str) -> bool:
    """Whether one of the rules allows the request."""
    paths = (path, _from_version(endpoint, path))
    if _ALWAYS[0] in endpoint.types and verb == _ALWAYS[1] and paths[1] == _ALWAYS[2]:
        return True
    return any(
        rule.service in endpoint.types
        and rule.verb == verb
        and any(_pattern(rule.path).fullmatch(each) is not None for each in paths)
        for rule in rules
    )


def _from_version(endpoint: Endpoint, path: str) -> str:
    """The path without the part below which the API is mounted: `/compute/v2.1/servers` is `/v2.1/servers`."""
    mount = endpoint.prefix.strip("/").split("/")[0]
    return path.removeprefix(f"/{mount}") if mount else path


@lru_cache(maxsize=4096)
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("".join(_regex(piece) for piece in _PIECES.findall(path)))


def _regex(piece: str) -> str:
    if piece == "**":
        return ".*"
    return r"[^/]+" if piece == "*" or (piece.startswith("{") and piece.endswith("}")) else re.escape(piece)
