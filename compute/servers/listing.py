"""Which servers a list shows, and in which order: Nova's filters and sort keys."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from compute import inputs
from compute.placement.model import ComputeNode
from compute.servers import versions
from compute.servers.model import Server, addresses
from compute.servers.views import KNOWN_STATUSES, Reader, words
from noded.core.errors import Invalid
from noded.core.ids import ProjectId
from noded.core.route import Request

PATTERN_LENGTH_MAX = 255
REPETITIONS_MAX = 2  # in one pattern: each multiplies the time that matching may take
ALTERNATIVES_MAX = 4  # in groups: each may double it

_FOR_ALL = {
    *("all_tenants", "changes-before", "changes-since", "deleted", "flavor", "image", "ip", "ip6", "limit", "locked"),
    *("marker", "name", "not-tags", "not-tags-any", "reservation_id", "sort_dir", "sort_key", "status", "tags"),
    *("tags-any", "key_name", "description", "hostname", "user_id", "uuid", "vm_state", "task_state", "power_state"),
    *("availability_zone", "config_drive", "created_at", "launched_at", "locked_by", "progress", "terminated_at"),
    *("access_ip_v4", "access_ip_v6", "auto_disk_config", "soft_deleted"),
}
_FOR_ADMINS = _FOR_ALL | {
    *("host", "node", "project_id", "tenant_id", "display_name", "display_description", "kernel_id", "ramdisk_id"),
    *("launch_index", "root_device_name", "cell_name", "instance_type_id", "updated_at", "image_ref", "internal_id"),
}

_SORT_KEYS: dict[str, Callable[[Server], object]] = {
    "created_at": lambda server: server.created_ms,
    "updated_at": lambda server: server.updated_ms,
    "display_name": lambda server: server.name,
    "name": lambda server: server.name,
    "uuid": lambda server: server.id,
    "hostname": lambda server: server.hostname,
    "host": lambda server: server.node_id,
    "key_name": lambda server: server.key_name or "",
    "project_id": lambda server: server.project_id,
    "user_id": lambda server: server.user_id,
    "image_ref": lambda server: server.image_id or "",
    "launch_index": lambda server: server.launch_index,
    "launched_at": lambda server: server.observed.launched_ms or 0,
    "vm_state": lambda server: words(server).vm_state,
    "task_state": lambda server: words(server).task or "",
    "power_state": lambda server: server.observed.power,
    "locked": lambda server: server.locked_by is not None,
}


def listed(request: Request, reader: Reader) -> list[Server]:
    """The servers that the caller may see and asked for, in the order asked for."""
    query = request.query
    if request.microversion >= versions.WHOLE_UPDATE:
        unknown = sorted(set(query) - (_FOR_ADMINS if request.caller.is_admin else _FOR_ALL))
        if unknown:
            raise Invalid(f"Additional properties are not allowed ('{unknown[0][:64]}' was unexpected)")
    servers = [server for server in _in_scope(request, reader) if not server.deleting]
    if request.caller.is_admin and inputs.flag(query.get("deleted", "false"), "deleted"):
        return []  # nothing is kept of what was deleted
    for name, values in _filters(request):
        keep = _FILTERS[name](values, reader)
        servers = [server for server in servers if keep(server)]
    return _sorted(request, servers)


def _in_scope(request: Request, reader: Reader) -> Sequence[Server]:
    query, caller = request.query, request.caller
    everywhere = inputs.flag(query.get("all_tenants") or "true", "all_tenants") if "all_tenants" in query else False
    if not everywhere or not caller.is_admin:
        return reader.view.find(Server, "project_id", caller.project)
    project_id = query.get("project_id") or query.get("tenant_id")
    if project_id:
        return reader.view.find(Server, "project_id", ProjectId(project_id))
    return reader.view.all(Server)


def _filters(request: Request) -> list[tuple[str, list[str]]]:
    for_caller = _FOR_ADMINS if request.caller.is_admin else _FOR_ALL
    if request.microversion < versions.TAGS:
        for_caller = for_caller - {"tags", "tags-any", "not-tags", "not-tags-any"}
    return [(name, request.query_all(name)) for name in request.query if name in _FILTERS and name in for_caller]


Keep = Callable[[Server], bool]
Filter = Callable[[list[str], Reader], Keep]


def _equal(field: Callable[[Server], object]) -> Filter:
    return lambda values, _: lambda server: str(field(server)) == values[-1]


def _matching(field: Callable[[Server], str]) -> Filter:
    def keeps(values: list[str], _: Reader) -> Keep:
        pattern = bounded_pattern(values[-1])
        return lambda server: pattern.search(field(server)) is not None

    return keeps


def _status(values: list[str], reader: Reader) -> Keep:
    wanted = {value.upper() for value in values}
    if reader.version >= versions.STATUS_CHECKED and not wanted <= KNOWN_STATUSES:
        raise Invalid(f"Invalid status value: {sorted(wanted - KNOWN_STATUSES)[0][:64]}")
    return lambda server: words(server).status in wanted


def _address(values: list[str], reader: Reader) -> Keep:
    pattern = bounded_pattern(values[-1])
    return lambda server: any(
        pattern.search(each.ip_address) for entries in addresses(server, reader.view).values() for each in entries
    )


def _host(values: list[str], reader: Reader) -> Keep:
    nodes = {node.id for node in reader.view.all(ComputeNode) if values[-1] in (node.name, node.id)}
    return lambda server: server.node_id in nodes


def _since(values: list[str], _: Reader) -> Keep:
    moment = _moment_ms(values[-1], "changes-since")
    return lambda server: server.updated_ms >= moment


def _before(values: list[str], _: Reader) -> Keep:
    moment = _moment_ms(values[-1], "changes-before")
    return lambda server: server.updated_ms <= moment


def _locked(values: list[str], _: Reader) -> Keep:
    wanted = inputs.flag(values[-1], "locked")
    return lambda server: (server.locked_by is not None) is wanted


def _tags(decide: Callable[[set[str], set[str]], bool]) -> Filter:
    def keeps(values: list[str], _: Reader) -> Keep:
        wanted = set(values[-1].split(","))
        return lambda server: decide(wanted, set(server.tags))

    return keeps


_FILTERS: Mapping[str, Filter] = {
    "name": _matching(lambda server: server.name),
    "display_name": _matching(lambda server: server.name),
    "hostname": _matching(lambda server: server.hostname),
    "status": _status,
    "flavor": _equal(lambda server: server.flavor.id),
    "image": _equal(lambda server: server.image_id),
    "ip": _address,
    "ip6": _address,
    "uuid": _equal(lambda server: server.id),
    "user_id": _equal(lambda server: server.user_id),
    "key_name": _equal(lambda server: server.key_name),
    "reservation_id": _equal(lambda server: server.reservation_id),
    "vm_state": _equal(lambda server: words(server).vm_state),
    "task_state": _equal(lambda server: words(server).task),
    "host": _host,
    "node": _host,
    "changes-since": _since,
    "changes-before": _before,
    "locked": _locked,
    "tags": _tags(lambda wanted, had: wanted <= had),
    "tags-any": _tags(lambda wanted, had: bool(wanted & had)),
    "not-tags": _tags(lambda wanted, had: not wanted <= had),
    "not-tags-any": _tags(lambda wanted, had: not wanted & had),
}


def bounded_pattern(text: str) -> re.Pattern[str]:
    """A regular expression from outside, if it can be matched in bearable time; raises `Invalid`."""
    quantified_group = re.search(r"\)[*+?{]", text)
    back_reference = re.search(r"\\[0-9]|\(\?", text)
    repetitions = len(re.findall(r"[*+?{]", text))
    # Outside of groups each alternative is tried by itself; in groups they multiply one another.
    alternatives = text.count("|") if "(" in text else 0
    bearable = repetitions <= REPETITIONS_MAX and alternatives <= ALTERNATIVES_MAX
    if len(text) > PATTERN_LENGTH_MAX or quantified_group or back_reference or not bearable:
        raise Invalid(
            f"The pattern {text[:64]} is too complex: at most {REPETITIONS_MAX} repetitions, none of a group, and"
            f" {ALTERNATIVES_MAX} alternatives in groups."
        )
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as wrong:
        raise Invalid(f"Invalid input for query parameters. {text[:64]} is no regular expression: {wrong}.") from None


def _moment_ms(text: str, field: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"Invalid input for query parameters {field}. Value: {text[:64]} is no date-time.") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def _sorted(request: Request, servers: list[Server]) -> list[Server]:
    keys, directions = request.query_all("sort_key"), request.query_all("sort_dir")
    for key in keys:
        if key not in _SORT_KEYS:
            raise Invalid(f"Sort key supplied is invalid: {key[:64]}")
    for direction in directions:
        if direction not in ("asc", "desc"):
            raise Invalid(f"Sort direction supplied is invalid: {direction[:64]}")
    # The newest first, as in Nova; the id settles what the keys leave open, so that pages don't overlap.
    order = [("uuid", "desc"), ("created_at", "desc")]
    order += [(key, directions[at] if at < len(directions) else "desc") for at, key in reversed(list(enumerate(keys)))]
    for key, direction in order:
        servers = sorted(servers, key=_SORT_KEYS[key], reverse=direction == "desc")  # type: ignore[arg-type]
    return servers
