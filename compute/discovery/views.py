"""How Nova describes its versions. `v2.0` comes first, since clients pick the entry that follows it as the newest."""

from compute.endpoint import HIGHEST, LOWEST

_UPDATED = {"v2.0": "2011-01-21T11:33:21Z", "v2.1": "2013-07-23T11:33:21Z"}
_PATHS = {"v2.0": "v2", "v2.1": "v2.1"}
VERSIONS = tuple(_PATHS)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def version_summary(version: str, base_url: str) -> dict[str, object]:
    """One entry of the list."""
    return {**_facts(version), "links": [_self_link(version, base_url)]}


def version_detail(version: str, base_url: str) -> dict[str, object]:
    """One version by itself."""
    described = {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/api-ref/compute/"}
    generation = "2.1" if version == "v2.1" else "2"
    media = {
        "base": "application/json",
        "type": f"application/vnd.openstack.compute+json;version={generation}",
    }
    return {**_facts(version), "links": [_self_link(version, base_url), described], "media-types": [media]}


def _facts(version: str) -> dict[str, object]:
    # The first generation has no microversions and says so with empty strings.
    current = version == "v2.1"
    return {
        "id": version,
        "status": "CURRENT" if current else "SUPPORTED",
        "version": _dotted(HIGHEST) if current else "",
        "min_version": _dotted(LOWEST) if current else "",
        "updated": _UPDATED[version],
    }


def _self_link(version: str, base_url: str) -> dict[str, str]:
    return {"rel": "self", "href": f"{base_url}/compute/{_PATHS[version]}/"}
