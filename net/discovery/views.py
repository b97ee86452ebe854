"""How Neutron describes its version."""

Json = dict[str, object]


def version_view(base_url: str) -> Json:
    """The one version that there is."""
    return {
        "id": "v2.0",
        "status": "CURRENT",
        "links": [{"rel": "self", "href": f"{base_url}/network/v2.0/"}],
    }
