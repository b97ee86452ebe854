"""How routes are listed. Pure."""

from collections.abc import Iterable

from noded.core.service import Service


def route_lines(services: Iterable[Service]) -> list[dict[str, str]]:
    """Every route: verb, whole path, handler, who may use it; ordered by path."""
    lines = [
        {
            "verb": route.verb,
            "path": service.endpoint.prefix + route.path,
            "handler": route.name,
            "allow": route.allow.value,
        }
        for service in services
        if service.endpoint is not None
        for route in service.routes
    ]
    return sorted(lines, key=lambda line: (line["path"], line["verb"]))
