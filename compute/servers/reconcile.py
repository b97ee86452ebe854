"""What makes this node's guests match the servers that name the node: observe, plan, act, report."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec
import structlog
import trio

from compute.hypervisor import Guest, GuestCard, GuestDisk, GuestFault, GuestSpec, GuestState, Hypervisor
from compute.servers.commands import ConfirmVolumes, FinishServerDeletions, GuestReport, ReportGuests
from compute.servers.model import Attachment, Power, Server
from compute.servers.plan import (
    AGAIN_S,
    BUTTON_S,
    Plug,
    PressButton,
    Pressed,
    Remove,
    Resume,
    Start,
    Step,
    TakePower,
    Unplug,
    asks_for_disks,
    is_news,
    news,
    plan,
    volumes_news,
)
from compute.servers.tries import Tries
from consensus.vault.links import VaultAccess
from net.links import PortWiring
from net.ports.model import Port
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Refused
from noded.core.ids import AttachmentId, ServerId
from noded.core.reconciler import Drivers
from noded.core.record import Record
from noded.core.store import View
from storage.qos.model import guest_limits
from storage.volumes.links import VolumeAttachments
from storage.volumes.model import Volume

log = structlog.get_logger(__name__)

STEPS_AT_ONCE = 4
STEP_S_MAX = 30.0  # one slow step must not keep the others from their turn for ever
IDLE_S = 10.0
FAULT_AFTER_TRIES = 5  # what fails less often is not worth a server's ERROR
HOLDS_ON = "the guest has not let go of it; it is asked again, and loses it when it stops or is rebooted hard"


@dataclass(slots=True)
class _Button:
    """A power button that was pressed: to end which run, and when."""

    run: int
    first_at: float
    last_at: float


class ServersReconciler:
    """One node's guests. It remembers only what may be forgotten: since when it waits, and when it tries again."""

    name = "servers"
    watches: tuple[type[Record], ...] = (Server,)

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._hypervisor = drivers.get(Hypervisor)
        self._wiring = drivers.get(PortWiring)
        self._attachments = drivers.get(VolumeAttachments)
        self._vault = drivers.get(VaultAccess)
        self._buttons: dict[ServerId, _Button] = {}
        self._tries = Tries()
        self._reports: list[GuestReport] = []
        self._volumes: list[ConfirmVolumes] = []
        self._removed: list[ServerId] = []

    @property
    def period_s(self) -> float:
        """Until something that it waits for is due."""
        now = trio.current_time()
        buttons = [min(button.first_at + BUTTON_S, button.last_at + AGAIN_S) - now for button in self._buttons.values()]
        return max(0.05, min([IDLE_S, *buttons, *self._tries.waits(now)]))

    async def nudged(self) -> None:
        """A guest started, ended or was paused."""
        await self._hypervisor.nudged()

    async def reconcile(self) -> None:
        """One pass. A step that fails keeps no other from being taken."""
        guests = await self._hypervisor.guests()
        view = self._cluster.view()
        await self._look_at_disks(view, guests)
        steps = self._steps(view, guests)
        if any(isinstance(step, Start) for step in steps):
            # A node that was away may not know yet that the server was stopped, or given to another node, meanwhile.
            view = await self._cluster.fresh_view()
            steps = self._steps(view, guests)
        now = trio.current_time()
        self._tries.settle({step.server.id for step in steps}, now)
        self._removed = []
        self._reports = [
            report for server in self._mine(view) if (report := news(server, guests.get(server.id))) is not None
        ]
        self._volumes = [
            self._confirmed(server, *seen)
            for server in self._mine(view)
            if any(seen := volumes_news(server, guests.get(server.id)))
        ]
        await self._report()
        await self._take([step for step in steps if self._tries.due(step.server.id, step.server.generation, now)])

    async def _look_at_disks(self, view: View, guests: dict[ServerId, Guest]) -> None:
        """Which disks those guests have of which it matters."""
        for server in self._mine(view):
            guest = guests.get(server.id)
            if guest is None or not asks_for_disks(server, guest):
                continue
            try:
                guests[server.id] = replace(guest, disks=await self._hypervisor.disks(server.id))
            except GuestFault as fault:
                log.warning("disks not seen", server=server.id, why=str(fault))

    def _confirmed(
        self, server: Server, attached: tuple[AttachmentId, ...], detached: tuple[AttachmentId, ...]
    ) -> ConfirmVolumes:
        return ConfirmVolumes(
            node_id=self._cluster.node_id,
            server_id=server.id,
            attached=attached,
            detached=detached,
            now_ms=now_ms(),
        )

    def _mine(self, view: View) -> list[Server]:
        return view.find(Server, "node_id", self._cluster.node_id)

    def _steps(self, view: View, guests: Mapping[ServerId, Guest]) -> list[Step]:
        """The plan, with the buttons that are pressed now."""
        for server_id, button in list(self._buttons.items()):
            guest = guests.get(server_id)
            if guest is None or guest.state is not GuestState.RUNNING or guest.run != button.run:
                del self._buttons[server_id]
        now = trio.current_time()
        pressed = {
            server_id: Pressed(now - button.first_at, now - button.last_at)
            for server_id, button in self._buttons.items()
        }
        return plan(self._mine(view), guests, pressed)

    async def _take(self, steps: list[Step]) -> None:
        """Take the steps, a few at a time, and tell the log of what is done while others are still under way."""
        limit = trio.CapacityLimiter(STEPS_AT_ONCE)
        left = len(steps)
        done = trio.Event()

        async def take(step: Step) -> None:
            nonlocal left, done
            async with limit:
                await self._try(step)
            left -= 1
            done.set()

        async with trio.open_nursery() as nursery:
            for step in steps:
                nursery.start_soon(take, step)
            while left:
                await done.wait()
                done = trio.Event()
                await self._report()

    async def _report(self) -> None:
        """Everything that is news, in one entry."""
        reports, self._reports = self._reports, []
        removed, self._removed = self._removed, []
        volumes, self._volumes = self._volumes, []
        node_id = self._cluster.node_id
        commands: list[ReportGuests | ConfirmVolumes | FinishServerDeletions] = [*volumes]
        if reports:
            commands.append(ReportGuests(node_id=node_id, reports=tuple(reports), now_ms=now_ms()))
        if removed:
            commands.append(FinishServerDeletions(node_id=node_id, server_ids=tuple(removed)))
        if commands:
            await self._cluster.propose(*commands)

    async def _try(self, step: Step) -> None:
        server = step.server
        try:
            with trio.fail_after(STEP_S_MAX):
                await self._act(step)
        except (Refused, GuestFault, trio.TooSlowError) as fault:
            why = f"it took longer than {STEP_S_MAX:.0f} s" if isinstance(fault, trio.TooSlowError) else str(fault)
            self._failed(step, why, refused_by_guest=isinstance(fault, GuestFault))
        except Exception:
            log.exception("step failed for a reason that nobody thought of", server=server.id)
            self._failed(step, "an unexpected error; the node's log has it")
        else:
            if not isinstance(step, Resume | Unplug):
                self._tries.succeeded(server.id)

    def _failed(self, step: Step, why: str, *, refused_by_guest: bool = False) -> None:
        server = step.server
        tries = self._tries.failed(server.id, server.generation, trio.current_time())
        log.warning("step failed", step=type(step).__name__, server=server.id, why=why, tries=tries)
        if isinstance(step, Start) and tries >= FAULT_AFTER_TRIES:
            run = server.observed.run
            self._note(server, GuestReport(server_id=server.id, power=Power.OFF, run=run, fault=why))
        if isinstance(step, Plug) and refused_by_guest and tries >= FAULT_AFTER_TRIES:
            # A volume that can't be served now is waited for; a guest that can't take it is not.
            self._tell_of(server, (step.attachment,), why)

    def _tell_of(self, server: Server, attachments: tuple[Attachment, ...], why: str) -> None:
        failed = {each.id: why for each in attachments if each.fault != why}
        if failed:
            self._volumes.append(msgspec.structs.replace(self._confirmed(server, (), ()), failed=failed))

    def _note(self, server: Server, report: GuestReport) -> None:
        if is_news(server, report):
            self._reports.append(report)

    async def _act(self, step: Step) -> None:
        match step:
            case Start(server):
                await self._start(server)
            case PressButton(server, run):
                await self._hypervisor.shut_down(server.id)
                now = trio.current_time()
                self._buttons.setdefault(server.id, _Button(run, now, now)).last_at = now
            case TakePower(server):
                await self._hypervisor.power_off(server.id)
            case Resume(server):
                await self._resume(server)
            case Plug(server, attachment):
                await self._hypervisor.plug(server.id, await self._disk(attachment))
                self._volumes.append(self._confirmed(server, (attachment.id,), ()))
            case Unplug(server, attachments):
                await self._unplug(server, attachments)
            case Remove(server):
                await self._remove(server)

    async def _start(self, server: Server) -> None:
        disks = [await self._disk(each) for each in server.attachments if not each.detaching]
        spec = GuestSpec(
            server_id=server.id,
            name=server.name,
            run=server.run,
            vcpus=server.flavor.vcpus,
            memory_mib=server.flavor.memory_mib,
            cards=tuple(await self._cards(server)),
            disks=tuple(disks),
        )
        await self._hypervisor.start(spec)
        self._note(server, GuestReport(server_id=server.id, power=Power.ON, run=server.run))

    async def _disk(self, attachment: Attachment) -> GuestDisk:
        """The volume, served here."""
        view = self._cluster.view()
        volume = view.get(Volume, attachment.volume_id)
        key_id = None if volume is None else volume.key_id
        return GuestDisk(
            volume_id=attachment.volume_id,
            socket=await self._attachments.attach(attachment.volume_id),
            device=attachment.device.removeprefix("/dev/"),
            read_only=self._may_only_read(attachment),
            limits=self._limits(attachment),
            key_id=key_id or "",
            passphrase=b"" if key_id is None else self._vault.open(view, key_id).hex().encode(),
        )

    def _limits(self, attachment: Attachment) -> tuple[tuple[str, int], ...]:
        """What the volume's type allows a guest to do with it; a change holds from the next start or attachment on."""
        view = self._cluster.view()
        volume = view.get(Volume, attachment.volume_id)
        return () if volume is None else tuple(guest_limits(view, volume.type_id, volume.gib).items())

    def _may_only_read(self, attachment: Attachment) -> bool:
        volume = self._cluster.view().get(Volume, attachment.volume_id)
        if volume is not None and volume.readonly:
            return True
        mine = () if volume is None else volume.attachments
        return any(each.read_only for each in mine if each.id == attachment.id)

    async def _unplug(self, server: Server, attachments: tuple[Attachment, ...]) -> None:
        """Each time counts as failed until the guest is seen without them: it may be busy, or may not listen at all."""
        tries = self._tries.failed(server.id, server.generation, trio.current_time())
        if tries > FAULT_AFTER_TRIES:
            self._tell_of(server, attachments, HOLDS_ON)
        for attachment in attachments:
            await self._hypervisor.unplug(server.id, attachment.volume_id)
        held = await self._hypervisor.disks(server.id)
        gone = tuple(each.id for each in attachments if each.volume_id not in held)
        if gone:
            self._volumes.append(self._confirmed(server, (), gone))

    async def _cards(self, server: Server) -> list[GuestCard]:
        cards = []
        for port_id in server.ports:
            port = self._cluster.view().get(Port, port_id)
            if port is not None:  # its user deleted it: the server does without that card
                tap = await self._wiring.plug(port_id)
                cards.append(GuestCard(port_id=port_id, mac=port.mac, mtu=tap.mtu, tap=tap.name))
        return cards

    async def _resume(self, server: Server) -> None:
        """Each try counts as failed until the guest is seen to run on: it may be paused again at once."""
        self._tries.failed(server.id, server.generation, trio.current_time())
        for each in server.attachments:
            await self._attachments.attach(each.volume_id)
        await self._hypervisor.resume(server.id)

    async def _remove(self, server: Server) -> None:
        # The guest first: what it still writes must find its disk.
        await self._hypervisor.remove(server.id)
        for port_id in server.ports:
            await self._wiring.unplug(port_id)
        for each in server.attachments:
            await self._attachments.detach(each.volume_id)
        self._removed.append(server.id)
