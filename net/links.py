"""What this package asks of the machine and of its neighbours, and what it offers to them: driver protocols.

compute ──plug──► PortWiring          (wiring/reconcile.py)  a guest's tap, with its network and its rules in force
ports ──observe, act──► Dataplane     (host/machine.py, simulated twin: host/simulated.py)
metadata ──facts──► ServerFacts       (compute)  what the metadata service may tell the guest behind a port
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from net.dataplane.model import Answers, Flow, Observed, Segment, Step
from noded.core.ids import PortId, ProjectId


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """The network card's end on this machine. The guest's definition must name both as they are."""

    name: str
    mtu: int


class PortWiring(Protocol):
    """Puts ports on this machine's networks."""

    async def plug(self, port_id: PortId) -> Tap:
        """Make sure that the port's tap, network and rules are here; returns when a guest may be started on it.

        Doing it again changes nothing. Raises `NotFound` for an unknown port, and `Unavailable` when this machine
        can't carry it, with the reason.
        """

    async def unplug(self, port_id: PortId) -> None:
        """Take the port's tap away; the guest that used it must be gone. A port without a tap is left so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the metadata service may tell a guest of itself."""

    uuid: str
    name: str
    hostname: str
    project_id: ProjectId
    public_keys: Mapping[str, str] = field(default_factory=dict)  # name → the key as OpenSSH writes it
    user_data: bytes = b""
    metadata: Mapping[str, str] = field(default_factory=dict)
    availability_zone: str = "nova"
    flavor_name: str = ""


class ServerFacts(Protocol):
    """Who stands behind a port."""

    def facts(self, port_id: PortId) -> Facts | None:
        """The facts of the server that has the port now, or None if none has it. Instant: it reads the store."""


class Dataplane(Protocol):
    """This machine's bridges, tunnels, taps and rules, as far as they are ours (names that begin with `nd`)."""

    async def observe(self) -> Observed:
        """What of ours is on the machine now."""

    async def act(self, steps: Sequence[Step]) -> None:
        """Carry out the steps in their order, also when one fails; then raises `DataplaneFault`, which names it.

        Where rules can't be loaded, nothing that follows is done: no tap comes to be before its filter.
        """

    async def flows(self, zone: int) -> list[Flow]:
        """The connections that the machine tracks in a conntrack zone."""

    async def answer(self, answers: Mapping[int, Answers], segments: Mapping[int, Segment]) -> None:
        """Serve DHCP and metadata on exactly these networks (by VNI), to exactly these guests, from now on."""

    def lacks(self) -> tuple[str, ...]:
        """What this machine's kernel or programs lack, each with what can't be done without it."""


class DataplaneFault(Exception):  # noqa: N818  # a state of the machine, not of the code
    """The machine refused a step; the message says which, and what the kernel said."""
