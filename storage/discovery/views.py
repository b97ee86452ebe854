"""How Cinder describes its one version."""

from storage.endpoint import HIGHEST, LOWEST


def versions(base_url: str) -> dict[str, object]:
    """The list of versions; a version by itself is described by a list of one too."""
    described = {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"}
    media = {"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}
    return {
        "versions": [
            {
                "id": "v3.0",
                "status": "CURRENT",
                "version": f"{HIGHEST[0]}.{HIGHEST[1]}",
                "min_version": f"{LOWEST[0]}.{LOWEST[1]}",
                "updated": "2023-08-31T00:00:00Z",
                "links": [described, {"rel": "self", "href": f"{base_url}/volume/v3/"}],
                "media-types": [media],
            }
        ]
    }
