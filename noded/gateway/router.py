"""Which handler serves this verb and path? One tree of path segments, compiled from every service's routes.

A literal segment beats a variable one; `{name}` takes one segment, `{name:path}` the rest. A trailing slash makes no
difference, as in the real services. Where an endpoint says so, the id of the caller's project may stand before every
route, and means nothing.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from noded.core.errors import Invalid, Kind, NotFound, Refused
from noded.core.route import Route
from noded.core.service import Endpoint, Service
from noded.gateway.limits import PATH_SEGMENTS_MAX
from noded.policy.model import action_name

_REST = ":path}"
_PROJECT: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Target:
    """One route with what surrounds it."""

    service: str
    endpoint: Endpoint
    route: Route
    variables: tuple[str, ...]  # the names of the path's variables, in their order
    action: str  # what policy calls it

    @property
    def full_path(self) -> str:
        """The route's path from the root, variables in braces."""
        return self.endpoint.prefix + self.route.path


@dataclass(frozen=True, slots=True)
class Match:
    """The route of one request, and its path's variables."""

    target: Target
    params: Mapping[str, str]
    project_id: str | None = None  # the project that the path names, where an endpoint has it before its routes


@dataclass(slots=True)
class _Node:
    """What may follow the segments that lead here."""

    literals: dict[str, "_Node"] = field(default_factory=dict)
    variable: "_Node | None" = None
    rest: "dict[str, Target] | None" = None
    targets: dict[str, Target] = field(default_factory=dict)


class NoSuchVerb(Refused):
    """The path is there, but not with this verb. `verbs` are those that it has."""

    kind = Kind.METHOD_NOT_ALLOWED

    def __init__(self, verb: str, verbs: Iterable[str]) -> None:
        self.verbs = tuple(sorted(verbs))
        super().__init__(f"{verb} is not allowed here; {', '.join(self.verbs)} would be.")


class Router:
    """All routes of all services."""

    def __init__(self, services: Iterable[Service]) -> None:
        self._root = _Node()
        self._prefixes: dict[tuple[str, ...], Endpoint] = {}
        self._before_project: set[tuple[str, ...]] = set()
        self.targets: list[Target] = []
        for service in services:
            if service.endpoint is not None:
                self._prefixes.setdefault(tuple(_split(service.endpoint.prefix)), service.endpoint)
                if service.endpoint.project_after is not None:
                    self._before_project.add(tuple(_split(service.endpoint.prefix + service.endpoint.project_after)))
                for route in service.routes:
                    self._add(service.name, service.endpoint, route)

    def find(self, verb: str, raw_path: str) -> Match:
        """The route for a request. Raises `NotFound`, `NoSuchVerb`, or `Invalid` for a path that can't be read."""
        segments, project_id = self._without_project(_segments(raw_path))
        found = _walk(self._root, segments, 0, ())
        if found is None:
            raise NotFound(f"There is nothing at {raw_path[:255]}.")
        targets, values = found
        if raw_path.endswith("/") and _names_nothing(targets):
            raise NotFound(f"There is nothing at {raw_path[:255]}: the last name in it is empty.")
        # HEAD is GET without the body, unless a service gives it a route of its own.
        target = targets.get(verb) or (targets.get("GET") if verb == "HEAD" else None)
        if target is None:
            raise NoSuchVerb(verb[:20], targets)
        return Match(target, dict(zip(target.variables, values, strict=True)), project_id)

    def _without_project(self, segments: list[str]) -> tuple[list[str], str | None]:
        """The segments as routes have them, and the project that stood among them."""
        for before in self._before_project:
            at = len(before)
            if len(segments) > at and tuple(segments[:at]) == before and _PROJECT.fullmatch(segments[at]):
                return segments[:at] + segments[at + 1 :], segments[at]
        return segments, None

    def endpoint_at(self, raw_path: str) -> Endpoint | None:
        """The API that a path belongs to, whether or not anything is there: its style words the error."""
        segments = _split(raw_path)
        for length in range(min(len(segments), PATH_SEGMENTS_MAX), -1, -1):
            endpoint = self._prefixes.get(tuple(segments[:length]))
            if endpoint is not None:
                return endpoint
        return None

    def _add(self, service: str, endpoint: Endpoint, route: Route) -> None:
        node, names, targets = self._root, list[str](), None
        for segment in _split(endpoint.prefix + route.path):
            assert targets is None, f"{route.name}: nothing can follow {{…:path}} in {route.path}"
            if segment.startswith("{") and segment.endswith(_REST):
                names.append(segment[1 : -len(_REST)])
                node.rest = targets = node.rest if node.rest is not None else {}
            elif segment.startswith("{"):
                names.append(segment[1:-1])
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.literals.setdefault(segment, _Node())
        targets = node.targets if targets is None else targets
        assert route.verb not in targets, f"two routes for {route.verb} {endpoint.prefix}{route.path}"
        targets[route.verb] = Target(service, endpoint, route, tuple(names), action_name(service, endpoint, route))
        self.targets.append(targets[route.verb])


def _names_nothing(targets: Mapping[str, Target]) -> bool:
    """Whether a slash after such a path is an empty name; the versions themselves are named either way."""
    target = next(iter(targets.values()))
    return target.endpoint.strict_slash and len(_split(target.route.path)) > 1


def _walk(
    node: _Node, segments: Sequence[str], at: int, values: tuple[str, ...]
) -> tuple[dict[str, Target], tuple[str, ...]] | None:
    """The routes where the segments lead, and the variables' values on the way."""
    if at == len(segments):
        return (node.targets, values) if node.targets else None
    literal = node.literals.get(segments[at])
    if literal is not None and (found := _walk(literal, segments, at + 1, values)) is not None:
        return found
    if node.variable is not None:
        found = _walk(node.variable, segments, at + 1, (*values, segments[at]))
        if found is not None:
            return found
    return (node.rest, (*values, "/".join(segments[at:]))) if node.rest is not None else None


def _split(path: str) -> list[str]:
    stripped = path.strip("/")
    return stripped.split("/") if stripped else []


def _segments(raw_path: str) -> list[str]:
    pieces = _split(raw_path)
    if len(pieces) > PATH_SEGMENTS_MAX:
        raise Invalid(f"The path has {len(pieces)} parts; at most {PATH_SEGMENTS_MAX} are read.")
    if "%" not in raw_path:
        return pieces
    try:
        return [unquote_to_bytes(piece).decode() for piece in pieces]
    except UnicodeDecodeError:
        raise Invalid("The path is not UTF-8.") from None
