"""Which microversion does a request speak, and how is that told back? (OpenStack API-WG: "Microversion Specification".)

OpenStack-API-Version: compute 2.26, placement 1.10        each API reads its own word
X-OpenStack-Nova-API-Version: 2.26                         what Nova read before that, and still does
"""

import re
from collections.abc import Mapping
from typing import Final

from noded.core.errors import Invalid, Kind, Refused
from noded.core.service import Microversions

HEADER: Final = "openstack-api-version"
_NUMBER: Final = re.compile(r"([1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})", re.ASCII)


def negotiate(offered: Microversions, headers: Mapping[str, str]) -> tuple[int, int]:
    """The version that the request asks for; the lowest if it asks for none.

    Raises `Invalid` for a malformed header, and `NOT_ACCEPTABLE` for a version that is not served.
    """
    asked = _asked_for(offered, headers)
    if asked is None:
        return offered.lowest
    if asked == "latest":
        return offered.highest
    number = _NUMBER.fullmatch(asked)
    if number is None:
        raise Invalid(f"API Version String {asked[:40]} is of invalid format. Must be of format MajorNum.MinorNum.")
    version = (int(number[1]), int(number[2]))
    if not offered.lowest <= version <= offered.highest:
        raise Refused(
            f"Version {asked} is not supported by the API. Minimum is {text(offered.lowest)} and maximum is"
            f" {text(offered.highest)}.",
            kind=Kind.NOT_ACCEPTABLE,
        )
    return version


def headers_back(offered: Microversions, version: tuple[int, int]) -> dict[str, str]:
    """What the answer says of its version: both headers with the same value, and that it depends on them."""
    headers = {HEADER: f"{offered.word} {text(version)}", "vary": "OpenStack-API-Version"}
    if offered.legacy_header is not None:
        headers[offered.legacy_header.lower()] = text(version)
        headers["vary"] += f", {offered.legacy_header}"
    return headers


def text(version: tuple[int, int]) -> str:
    """`2.26`."""
    return f"{version[0]}.{version[1]}"


def _asked_for(offered: Microversions, headers: Mapping[str, str]) -> str | None:
    for entry in headers.get(HEADER, "").split(","):
        word, _, version = entry.strip().partition(" ")
        if word == offered.word:
            return version.strip()
    if offered.legacy_header is None:
        return None
    return headers.get(offered.legacy_header.lower())
