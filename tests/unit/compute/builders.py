"""Servers and guests as unit tests want them: everything has a value, and what matters is said."""

from typing import Any

from msgspec.structs import replace

from compute.hypervisor import Guest, GuestState
from compute.servers.model import FlavorCopy, Observed, Power, Server
from noded.core.ids import FlavorId, ImageId, NodeId, ProjectId, ServerId, UserId

FLAVOR = FlavorCopy(id=FlavorId("1"), name="m1.nano", vcpus=1, memory_mib=128, root_gib=1)


def server(id: str = "s1", *, seen: Power = Power.OFF, seen_run: int = 0, **more: Any) -> Server:
    """A server that was just created; `seen` is what its node reported."""
    made = Server(
        id=ServerId(id),
        project_id=ProjectId("p1"),
        user_id=UserId("u1"),
        name="web",
        hostname="web",
        created_ms=1_700_000_000_000,
        updated_ms=1_700_000_000_000,
        reservation_id="r-1",
        flavor=FLAVOR,
        image_id=ImageId("i1"),
        node_id=NodeId("node1"),
        observed=Observed(power=seen, run=seen_run),
    )
    return replace(made, **more)


def guest(state: GuestState = GuestState.RUNNING, run: int = 1, id: str = "s1") -> Guest:
    return Guest(server_id=ServerId(id), state=state, run=run)
