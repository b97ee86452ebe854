"""How Glance describes its versions: the newest is current, all point to the same place."""

from typing import Final

# As a Glance without a cache says it: 2.14 and 2.16 are about that. An image here is everywhere from the start.
_MINOR_VERSIONS: Final = (17, 15, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)


def versions(base_url: str) -> dict[str, object]:
    """Every version, newest first."""
    return {
        "versions": [
            {
                "id": f"v2.{minor}",
                "status": "CURRENT" if minor == _MINOR_VERSIONS[0] else "SUPPORTED",
                "links": [{"rel": "self", "href": f"{base_url}/image/v2/"}],
            }
            for minor in _MINOR_VERSIONS
        ]
    }
