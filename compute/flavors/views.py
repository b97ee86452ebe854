"""How a flavor looks in the API, at each microversion."""

from collections.abc import Mapping

from compute.flavors.model import Flavor

DESCRIPTION_SINCE = (2, 55)
SPECS_SINCE = (2, 61)
SWAP_NUMBER_SINCE = (2, 75)  # before, "no swap" was an empty string


def flavor_links(flavor_id: str, base_url: str) -> list[dict[str, str]]:
    """Where the flavor is found."""
    return [
        {"rel": "self", "href": f"{base_url}/compute/v2.1/flavors/{flavor_id}"},
        {"rel": "bookmark", "href": f"{base_url}/compute/flavors/{flavor_id}"},
    ]


def flavor_brief(flavor: Flavor, base_url: str, version: tuple[int, int]) -> dict[str, object]:
    """One entry of the short list."""
    body: dict[str, object] = {
        "id": flavor.id,
        "name": flavor.name,
        "links": flavor_links(flavor.id, base_url),
    }
    if version >= DESCRIPTION_SINCE:
        body["description"] = flavor.description
    return body


def flavor_detail(flavor: Flavor, base_url: str, version: tuple[int, int]) -> dict[str, object]:
    """The whole flavor."""
    body = flavor_brief(flavor, base_url, version) | {
        "ram": flavor.memory_mib,
        "vcpus": flavor.vcpus,
        "disk": flavor.root_gib,
        "swap": flavor.swap_mib if flavor.swap_mib or version >= SWAP_NUMBER_SINCE else "",
        "rxtx_factor": flavor.rxtx_factor,
        "OS-FLV-DISABLED:disabled": False,
        "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral_gib,
        "os-flavor-access:is_public": flavor.is_public,
    }
    if version >= SPECS_SINCE:
        body["extra_specs"] = dict(flavor.extra_specs)
    return body


def access_list(flavor: Flavor) -> dict[str, object]:
    """Which projects may use a flavor that is not public."""
    return {"flavor_access": [{"flavor_id": flavor.id, "tenant_id": project} for project in flavor.projects]}


def specs_body(specs: Mapping[str, str]) -> dict[str, object]:
    """Extra specs as the API wraps them."""
    return {"extra_specs": dict(specs)}
