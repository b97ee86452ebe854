"""What a node offers to guests, and what each consumer holds of it. What is free is always derived, never kept."""

from typing import ClassVar

import msgspec

from noded.core.ids import NodeId
from noded.core.record import Record
from noded.core.store import View

ZONE = "nova"  # the one availability zone there is
CPU_RATIO = 16  # virtual CPUs a real one may carry; memory is never given twice


class ComputeNode(Record, frozen=True, kw_only=True, tag="compute_node.1"):
    """What a node reported of itself. Its id is the node's."""

    NOUN: ClassVar[str] = "hypervisor"

    id: NodeId
    name: str
    address: str
    cpus: int
    memory_mib: int  # for guests: the host's own share is taken off
    kvm: bool
    hypervisor: str
    version: int
    cpu_model: str
    reported_ms: int

    @property
    def vcpus_max(self) -> int:
        """How many virtual CPUs fit."""
        return self.cpus * CPU_RATIO


class Allocation(Record, frozen=True, kw_only=True, tag="allocation.1"):
    """What one consumer, such as a server, holds of a node from its creation until nothing of it is left there."""

    INDEXED: ClassVar[tuple[str, ...]] = ("node_id",)
    NOUN: ClassVar[str] = "allocation"

    id: str  # the consumer's
    node_id: NodeId
    vcpus: int
    memory_mib: int


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What one consumer needs."""

    vcpus: int
    memory_mib: int


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What is held of a node."""

    vcpus: int = 0
    memory_mib: int = 0
    consumers: int = 0

    def plus(self, demand: Demand) -> "Use":
        """The use after one more consumer."""
        return Use(
            vcpus=self.vcpus + demand.vcpus,
            memory_mib=self.memory_mib + demand.memory_mib,
            consumers=self.consumers + 1,
        )


def use_of(view: View, node_id: NodeId) -> Use:
    """What is held of the node now."""
    held = view.find(Allocation, "node_id", node_id)
    return Use(
        vcpus=sum(each.vcpus for each in held),
        memory_mib=sum(each.memory_mib for each in held),
        consumers=len(held),
    )


def misfit(node: ComputeNode, use: Use, demand: Demand) -> str | None:
    """Why the demand doesn't fit on the node beside what is held of it; None if it does."""
    memory_free = node.memory_mib - use.memory_mib
    if demand.memory_mib > memory_free:
        return f"{max(memory_free, 0)} MiB of memory free of {node.memory_mib}, {demand.memory_mib} needed"
    vcpus_free = node.vcpus_max - use.vcpus
    if demand.vcpus > vcpus_free:
        return f"{max(vcpus_free, 0)} virtual CPUs free of {node.vcpus_max}, {demand.vcpus} needed"
    return None
