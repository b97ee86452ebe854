"""How a server looks in the API, at each microversion. All of Nova's status words are made here, from its phase."""

import hashlib
from dataclasses import dataclass

from compute.placement.model import ZONE, ComputeNode
from compute.servers import versions
from compute.servers.model import Phase, Power, Server, addresses, phase_of, ports_of, volumes_of
from net.security_groups.model import SecurityGroup
from noded.core.ids import NodeId
from noded.core.store import View
from noded.core.times import naive_micro, zulu

_NO_STATE, _RUNNING, _PAUSED, _SHUT_DOWN = 0, 1, 3, 4  # Nova's numbers for power states


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """For whom, and from what, a view is made."""

    view: View
    base_url: str
    version: tuple[int, int]
    is_admin: bool
    reachable: frozenset[NodeId]


@dataclass(frozen=True, slots=True)
class Words:
    """Nova's three words for what a server is doing."""

    status: str
    vm_state: str
    task: str | None


_WORDS = {
    Phase.BUILDING: Words("BUILD", "building", "spawning"),
    Phase.RUNNING: Words("ACTIVE", "active", None),
    Phase.STARTING: Words("SHUTOFF", "stopped", "powering-on"),
    Phase.STOPPING: Words("ACTIVE", "active", "powering-off"),
    Phase.STOPPED: Words("SHUTOFF", "stopped", None),
    Phase.SOFT_REBOOTING: Words("REBOOT", "active", "rebooting"),
    Phase.HARD_REBOOTING: Words("HARD_REBOOT", "active", "rebooting_hard"),
    Phase.FAILED: Words("ERROR", "error", None),
    Phase.DELETING: Words("DELETED", "deleted", "deleting"),
}
STATUSES = frozenset(words.status for words in _WORDS.values())
# Nova's other statuses: a filter may name them, and finds nothing here.
KNOWN_STATUSES = STATUSES | {
    *("MIGRATING", "PASSWORD", "PAUSED", "REBUILD", "RESCUE", "RESIZE", "REVERT_RESIZE", "SHELVED"),
    *("SHELVED_OFFLOADED", "SOFT_DELETED", "SUSPENDED", "UNKNOWN", "VERIFY_RESIZE"),
}


def words(server: Server) -> Words:
    """Status, VM state and task."""
    return _WORDS[phase_of(server)]


def server_links(server: Server, base_url: str) -> list[dict[str, str]]:
    """Where the server is found."""
    return [
        {"rel": "self", "href": f"{base_url}/compute/v2.1/servers/{server.id}"},
        {"rel": "bookmark", "href": f"{base_url}/compute/servers/{server.id}"},
    ]


def server_brief(server: Server, reader: Reader) -> dict[str, object]:
    """One entry of the short list."""
    return {"id": server.id, "name": server.name, "links": server_links(server, reader.base_url)}


def server_created(server: Server, reader: Reader, password: str) -> dict[str, object]:
    """What a creation answers."""
    return {
        "id": server.id,
        "links": server_links(server, reader.base_url),
        "OS-DCF:diskConfig": _disk_config(server),
        "security_groups": security_group_names(server, reader.view) or [{"name": "default"}],
        "adminPass": password,
    }


def server_detail(server: Server, reader: Reader, *, listed: bool = False) -> dict[str, object]:
    """The whole server; lists leave out what would cost Nova more to find."""
    body = _common(server, reader) | {
        "addresses": _addresses(server, reader.view),
        "OS-EXT-AZ:availability_zone": ZONE,
        "config_drive": "",
        "key_name": server.key_name,
        **_usage(server),
        **_state(server),
        "os-extended-volumes:volumes_attached": _volumes(server, reader.version),
    }
    groups = security_group_names(server, reader.view)
    if groups:
        body["security_groups"] = groups
    return body | _extended(server, reader) | _since(server, reader, listed=listed)


def server_updated(server: Server, reader: Reader) -> dict[str, object]:
    """What an update answers: before 2.75 little more than what could be changed."""
    if reader.version >= versions.WHOLE_UPDATE:
        return server_detail(server, reader)
    body = _common(server, reader)
    body["addresses"] = {
        network: [{"addr": each.ip_address, "version": each.version} for each in entries]
        for network, entries in addresses(server, reader.view).items()
    }
    body |= {key: value for key, value in _since(server, reader, listed=False).items() if key != "host_status"}
    return body


def _common(server: Server, reader: Reader) -> dict[str, object]:
    status = words(server).status
    body: dict[str, object] = {
        "id": server.id,
        "name": server.name,
        "status": status,
        "tenant_id": server.project_id,
        "user_id": server.user_id,
        "metadata": dict(server.metadata),
        "hostId": hashlib.sha224(f"{server.project_id}{server.node_id}".encode()).hexdigest(),
        "image": _image(server, reader.base_url),
        "flavor": _flavor(server, reader),
        "created": zulu(server.created_ms),
        "updated": zulu(server.updated_ms),
        "accessIPv4": server.access_ipv4,
        "accessIPv6": server.access_ipv6,
        "links": server_links(server, reader.base_url),
        "OS-DCF:diskConfig": _disk_config(server),
    }
    if status in ("ACTIVE", "BUILD"):
        body["progress"] = 100 if status == "ACTIVE" else 0
    fault = server.observed.fault
    if fault is not None and (status == "ERROR" or server.observed.power is Power.ON):  # the latter: it is paused
        body["fault"] = {"code": 500, "created": zulu(fault.since_ms), "message": fault.message}
        if reader.is_admin:
            body["fault"] |= {"details": fault.message}  # type: ignore[operator]
    return body


def _image(server: Server, base_url: str) -> object:
    if server.image_id is None:
        return ""
    href = f"{base_url}/compute/images/{server.image_id}"
    return {"id": server.image_id, "links": [{"rel": "bookmark", "href": href}]}


def _flavor(server: Server, reader: Reader) -> dict[str, object]:
    flavor = server.flavor
    if reader.version < versions.EMBEDDED_FLAVOR:
        href = f"{reader.base_url}/compute/flavors/{flavor.id}"
        return {"id": flavor.id, "links": [{"rel": "bookmark", "href": href}]}
    return {
        "original_name": flavor.name,
        "vcpus": flavor.vcpus,
        "ram": flavor.memory_mib,
        "disk": flavor.root_gib,
        "ephemeral": flavor.ephemeral_gib,
        "swap": flavor.swap_mib,
        "extra_specs": dict(flavor.extra_specs),
    }


def _disk_config(server: Server) -> str:
    return "MANUAL" if server.manual_disk else "AUTO"


def _usage(server: Server) -> dict[str, object]:
    launched_ms = server.observed.launched_ms
    return {
        "OS-SRV-USG:launched_at": None if launched_ms is None else naive_micro(launched_ms),
        "OS-SRV-USG:terminated_at": None,
    }


def _state(server: Server) -> dict[str, object]:
    told = words(server)
    seen = _RUNNING if server.observed.power is Power.ON else _SHUT_DOWN
    if seen == _RUNNING and server.observed.fault is not None:
        seen = _PAUSED
    return {
        "OS-EXT-STS:vm_state": told.vm_state,
        "OS-EXT-STS:task_state": told.task,
        "OS-EXT-STS:power_state": seen if server.observed.run else _NO_STATE,
    }


def _volumes(server: Server, version: tuple[int, int]) -> list[dict[str, object]]:
    more = version >= versions.MORE_ATTRIBUTES
    return [
        {"id": each.volume_id} | ({"delete_on_termination": each.delete_on_termination} if more else {})
        for each in volumes_of(server)
    ]


def _extended(server: Server, reader: Reader) -> dict[str, object]:
    body: dict[str, object] = {}
    if reader.is_admin:
        node = reader.view.get(ComputeNode, server.node_id)
        name = server.node_id if node is None else node.name
        body |= {
            "OS-EXT-SRV-ATTR:host": name,
            "OS-EXT-SRV-ATTR:hypervisor_hostname": name,
            "OS-EXT-SRV-ATTR:instance_name": f"noded-{server.id}",
        }
        if reader.version >= versions.MORE_ATTRIBUTES:
            body |= {
                "OS-EXT-SRV-ATTR:reservation_id": server.reservation_id,
                "OS-EXT-SRV-ATTR:launch_index": server.launch_index,
                "OS-EXT-SRV-ATTR:kernel_id": "",
                "OS-EXT-SRV-ATTR:ramdisk_id": "",
                "OS-EXT-SRV-ATTR:root_device_name": server.attachments[0].device if server.attachments else None,
                "OS-EXT-SRV-ATTR:user_data": server.user_data,
            }
    if reader.version >= versions.HOSTNAME_FOR_ALL or (reader.is_admin and reader.version >= versions.MORE_ATTRIBUTES):
        body["OS-EXT-SRV-ATTR:hostname"] = server.hostname
    return body


def _since(server: Server, reader: Reader, *, listed: bool) -> dict[str, object]:
    """The fields that came one by one."""
    version, body = reader.version, dict[str, object]()
    if version >= versions.LOCKED:
        body["locked"] = server.locked_by is not None
    if version >= versions.HOST_STATUS and reader.is_admin:
        body["host_status"] = "UP" if server.node_id in reader.reachable else "DOWN"
    if version >= versions.DESCRIPTION:
        body["description"] = server.description
    if version >= versions.TAGS:
        body["tags"] = list(server.tags)
    if version >= versions.CERTIFICATES:
        body["trusted_image_certificates"] = None
    if version >= versions.SERVER_GROUPS and not listed:
        body["server_groups"] = []
    if version >= versions.LOCKED_REASON:
        body["locked_reason"] = server.locked_reason
    if version >= versions.PINNED_ZONE:
        body["pinned_availability_zone"] = server.zone
    return body


def _addresses(server: Server, view: View) -> dict[str, list[dict[str, object]]]:
    return {
        network: [
            {
                "addr": each.ip_address,
                "version": each.version,
                "OS-EXT-IPS:type": "fixed",
                "OS-EXT-IPS-MAC:mac_addr": each.mac,
            }
            for each in entries
        ]
        for network, entries in addresses(server, view).items()
    }


def security_group_names(server: Server, view: View) -> list[dict[str, str]]:
    """The names of the groups that the server's ports are in, each once."""
    groups = (view.get(SecurityGroup, group_id) for port in ports_of(server, view) for group_id in port.security_groups)
    names = dict.fromkeys(group.name for group in groups if group is not None)
    return [{"name": name} for name in names]
