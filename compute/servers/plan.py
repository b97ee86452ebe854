"""Which steps take this node's guests from observed to desired, and what of them is news. Decides; touches nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from compute.hypervisor import Guest, GuestState
from compute.servers.commands import GuestReport
from compute.servers.model import Attachment, Power, Restart, Server
from noded.core.ids import AttachmentId, ServerId, VolumeId

BUTTON_S = 60.0  # how long a guest may take to obey its power button before its power is taken
AGAIN_S = 5.0  # then the button is pressed again: a guest that was still booting did not notice

_ALIVE = (GuestState.RUNNING, GuestState.PAUSED)


@dataclass(frozen=True, slots=True)
class Start:
    """Attach its volumes, plug its ports, run it."""

    server: Server


@dataclass(frozen=True, slots=True)
class PressButton:
    """Ask the guest to end this run."""

    server: Server
    run: int


@dataclass(frozen=True, slots=True)
class Pressed:
    """For how many seconds a guest's power button has been tried, and since when it was last pressed."""

    first_s: float
    last_s: float


@dataclass(frozen=True, slots=True)
class TakePower:
    """End it."""

    server: Server


@dataclass(frozen=True, slots=True)
class Resume:
    """Its disk failed: see that it is served, and let the guest try again."""

    server: Server


@dataclass(frozen=True, slots=True)
class Plug:
    """Give the running guest a volume."""

    server: Server
    attachment: Attachment


@dataclass(frozen=True, slots=True)
class Unplug:
    """Ask the running guest to let go of volumes."""

    server: Server
    attachments: tuple[Attachment, ...]


@dataclass(frozen=True, slots=True)
class Remove:
    """Leave nothing of it on this node."""

    server: Server


Step = Start | PressButton | TakePower | Resume | Plug | Unplug | Remove


def plan(
    servers: Iterable[Server], guests: Mapping[ServerId, Guest], pressed: Mapping[ServerId, Pressed]
) -> list[Step]:
    """The steps for the servers of this node. Guests that no server names are left alone."""
    steps = [step_for(server, guests.get(server.id), pressed.get(server.id)) for server in servers]
    return [step for step in steps if step is not None]


def step_for(server: Server, guest: Guest | None, pressed: Pressed | None) -> Step | None:
    """The next step for one server; None if there is nothing to do."""
    if server.deleting:
        return Remove(server)
    alive = guest is not None and guest.state in _ALIVE
    if server.power is Power.OFF:
        return _end(server, guest, pressed) if guest is not None and alive else None
    if guest is None or not alive:
        return None if ended_itself(server, guest) else Start(server)
    if guest.run == server.run:
        return Resume(server) if guest.state is GuestState.PAUSED else _disks_step(server, guest)
    if server.restart is Restart.SOFT:
        return _end(server, guest, pressed)
    return TakePower(server)


def _disks_step(server: Server, guest: Guest) -> Step | None:
    if guest.disks is None:
        return None
    for attachment in server.attachments:
        if not attachment.detaching and attachment.volume_id not in guest.disks:
            return Plug(server, attachment)
    held = tuple(each for each in server.attachments if each.detaching and each.volume_id in guest.disks)
    return Unplug(server, held) if held else None


def asks_for_disks(server: Server, guest: Guest) -> bool:
    """Whether it matters which disks the guest has now. It costs a question, and as a rule it is known."""
    return guest.state in _ALIVE and not server.deleting and not all(each.settled for each in server.attachments)


def volumes_news(server: Server, guest: Guest | None) -> tuple[tuple[AttachmentId, ...], tuple[AttachmentId, ...]]:
    """Which attachments are seen to be done, and which are seen to be gone, that the log thinks are not yet."""
    if server.deleting:
        return (), ()
    alive = guest is not None and guest.state in _ALIVE
    held = guest.disks if alive and guest is not None else frozenset[VolumeId]()
    if held is None:
        return (), ()
    attached = [
        each.id for each in server.attachments
        if not each.settled and not each.detaching and (not alive or each.volume_id in held)
    ]  # fmt: skip
    detached = [each.id for each in server.attachments if each.detaching and each.volume_id not in held]
    return tuple(attached), tuple(detached)


def _end(server: Server, guest: Guest, pressed: Pressed | None) -> Step | None:
    # A guest that waits for its disk can't obey.
    if guest.state is GuestState.PAUSED or (pressed is not None and pressed.first_s >= BUTTON_S):
        return TakePower(server)
    return PressButton(server, guest.run) if pressed is None or pressed.last_s >= AGAIN_S else None


def ended_itself(server: Server, guest: Guest | None) -> bool:
    """Whether the guest powered itself off in the run that its owner wants: then it stays off.

    A guest that was not seen running in that run did not end in it, whatever libvirt remembers of an earlier one.
    """
    return (
        server.power is Power.ON
        and guest is not None
        and guest.state is GuestState.ENDED_ITSELF
        and guest.run == server.run == server.observed.run
        and server.observed.power is Power.ON
    )


def news(server: Server, guest: Guest | None) -> GuestReport | None:
    """What the log does not know yet of a server's guest; None if it knows all.

    A guest that is off but shall run is no news: it is started, and that is.
    """
    if server.deleting:
        return None
    if guest is not None and guest.state in _ALIVE:
        report = GuestReport(server_id=server.id, power=Power.ON, run=guest.run, fault=guest.trouble or None)
    elif ended_itself(server, guest):
        report = GuestReport(server_id=server.id, power=Power.OFF, run=server.run, ended_itself=True)
    elif server.power is Power.OFF:
        report = GuestReport(server_id=server.id, power=Power.OFF, run=server.observed.run)
    else:
        return None
    return report if is_news(server, report) else None


def is_news(server: Server, report: GuestReport) -> bool:
    """Whether the report says anything that the log doesn't."""
    observed = server.observed
    fault = None if observed.fault is None else observed.fault.message
    return (report.power, report.run, report.fault) != (observed.power, observed.run, fault)
