"""How nodes look as Nova's hypervisors, services and availability zones, at each microversion."""

import zlib

from compute.placement.model import ZONE, ComputeNode, Use
from noded.core.times import naive_micro

UUIDS_SINCE = (2, 53)
BRIEF_SINCE = (2, 88)  # from here on the figures are asked of placement, not of the hypervisors


def hypervisor_id(node: ComputeNode, version: tuple[int, int]) -> str | int:
    """The node's id in the form that the microversion has: a number first, a UUID later."""
    return _dashed(node.id) if version >= UUIDS_SINCE else zlib.crc32(node.id.encode()) & 0x7FFF_FFFF


def _dashed(hex_id: str) -> str:
    parts = (hex_id[:8], hex_id[8:12], hex_id[12:16], hex_id[16:20], hex_id[20:])
    return "-".join(parts)


def hypervisor_brief(node: ComputeNode, up: bool, version: tuple[int, int]) -> dict[str, object]:
    """One entry of the short list."""
    return {
        "id": hypervisor_id(node, version),
        "hypervisor_hostname": node.name,
        "state": "up" if up else "down",
        "status": "enabled",
    }


def hypervisor_detail(node: ComputeNode, use: Use, up: bool, version: tuple[int, int]) -> dict[str, object]:
    """The whole hypervisor."""
    body = hypervisor_brief(node, up, version) | {
        "host_ip": node.address,
        "hypervisor_type": node.hypervisor,
        "hypervisor_version": node.version,
        "service": {"host": node.name, "id": hypervisor_id(node, version), "disabled_reason": None},
    }
    if version >= BRIEF_SINCE:
        return body | {"uptime": None}
    # Disks belong to the cluster's pool, not to a node: none of it is the node's to give.
    return body | {
        "cpu_info": _cpu_info(node, version),
        "vcpus": node.cpus,
        "vcpus_used": use.vcpus,
        "memory_mb": node.memory_mib,
        "memory_mb_used": use.memory_mib,
        "free_ram_mb": node.memory_mib - use.memory_mib,
        "local_gb": 0,
        "local_gb_used": 0,
        "free_disk_gb": 0,
        "disk_available_least": None,
        "running_vms": use.consumers,
        "current_workload": 0,
    }


def _cpu_info(node: ComputeNode, version: tuple[int, int]) -> object:
    if version < (2, 28):
        return f'{{"arch": "x86_64", "model": "{node.cpu_model}", "topology": {{"cores": {node.cpus}}}}}'
    return {"arch": "x86_64", "model": node.cpu_model, "topology": {"cores": node.cpus, "sockets": 1, "threads": 1}}


def statistics(nodes: list[ComputeNode], uses: list[Use]) -> dict[str, object]:
    """All hypervisors as one."""
    memory_mib, used_mib = sum(node.memory_mib for node in nodes), sum(use.memory_mib for use in uses)
    return {
        "count": len(nodes),
        "vcpus": sum(node.cpus for node in nodes),
        "vcpus_used": sum(use.vcpus for use in uses),
        "memory_mb": memory_mib,
        "memory_mb_used": used_mib,
        "free_ram_mb": memory_mib - used_mib,
        "local_gb": 0,
        "local_gb_used": 0,
        "free_disk_gb": 0,
        "disk_available_least": 0,
        "running_vms": sum(use.consumers for use in uses),
        "current_workload": 0,
    }


def service_entry(node: ComputeNode, up: bool, version: tuple[int, int]) -> dict[str, object]:
    """The node as Nova's `nova-compute` service."""
    body: dict[str, object] = {
        "id": hypervisor_id(node, version),
        "binary": "nova-compute",
        "host": node.name,
        "zone": ZONE,
        "status": "enabled",
        "state": "up" if up else "down",
        "updated_at": naive_micro(node.reported_ms),
        "disabled_reason": None,
    }
    return body | ({"forced_down": False} if version >= (2, 11) else {})


def zone_brief(available: bool) -> dict[str, object]:
    """The availability zone as everyone sees it."""
    return {"zoneName": ZONE, "zoneState": {"available": available}, "hosts": None}


def zone_detail(nodes: list[tuple[ComputeNode, bool]]) -> dict[str, object]:
    """The availability zone with its nodes, as administrators see it."""
    hosts = {
        node.name: {"nova-compute": {"available": up, "active": True, "updated_at": naive_micro(node.reported_ms)}}
        for node, up in nodes
    }
    return {"zoneName": ZONE, "zoneState": {"available": any(up for _, up in nodes)}, "hosts": hosts}
