"""How Glance describes its versions: the newest is current, all point to the same place."""

from typing import Final

# As a Glance with one store says it: the versions above 2.9, and 2.8, are about having several.
_MINOR_VERSIONS: Final = (9, 7, 6, 5, 4, 3, 2, 1, 0)


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
