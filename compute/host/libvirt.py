"""The hypervisor driver over libvirt: guests that outlive the daemon, found again by the mark they carry.

libvirt's calls block, so each is made in a worker thread, a few at a time. Its events come from a thread of their own
and only say that something happened; what happened is read afresh. A connection that broke is opened again by the next
call: libvirtd may be restarted at any time, and guests don't notice.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import libvirt
import structlog
import trio

from compute.host.consoles import Consoles
from compute.host.domain import MARK, definition, disk_definition, disks_in, run_of, secret_definition
from compute.host.growing import grow
from compute.host.kvm import guest_runs
from compute.host.machine import cpu_count, cpu_model, memory_for_guests_mib
from compute.hypervisor import (
    NO_ANSWER,
    POOL_FULL,
    Capacity,
    Guest,
    GuestDisk,
    GuestFault,
    GuestSpec,
    GuestState,
    HypervisorDown,
)
from noded.core.ids import ServerId, VolumeId

log = structlog.get_logger(__name__)

T = TypeVar("T")

CALLS_MAX = 4  # at a time
KEEPALIVE_S = 5
KEEPALIVE_MISSES = 3

_LOST = {libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_RPC, libvirt.VIR_ERR_INVALID_CONN}
_EVENTS = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
)
_GONE = {libvirt.VIR_ERR_DEVICE_MISSING, libvirt.VIR_ERR_NO_DOMAIN}
_ASKED_ALREADY = "already in the process of unplug"  # QEMU's words: there is no code for it
_events_lock = threading.Lock()
_events_run = threading.Event()


class LibvirtHypervisor:
    """Implements `compute.hypervisor.Hypervisor`."""

    def __init__(
        self,
        *,
        uri: str,
        name: str,
        address: str,
        console_dir: Path,
        socket_dir: Path,
        guest_memory_mib: int = 0,  # 0: all but a reserve
        kvm: bool | None = None,  # None: find out
    ) -> None:
        self._uri = uri
        self._name = name
        self._address = address
        self._guest_memory_mib = guest_memory_mib or memory_for_guests_mib()
        self._kvm = kvm
        self._consoles = Consoles(console_dir)
        self._socket_dir = socket_dir
        self._limiter = trio.CapacityLimiter(CALLS_MAX)
        self._connecting = threading.Lock()
        self._handing = threading.Lock()
        self._connection: Any = None
        self._capacity: Capacity | None = None
        self._measuring = trio.Lock()
        self._happened = trio.Event()
        self._token: trio.lowlevel.TrioToken | None = None

    async def capacity(self) -> Capacity:
        """What this machine can give; measured once, then remembered."""
        async with self._measuring:
            if self._capacity is None:
                kvm = await guest_runs("kvm") if self._kvm is None else self._kvm
                version = await self._ask(lambda connection: connection.getVersion())
                self._capacity = Capacity(
                    name=self._name,
                    address=self._address,
                    cpus=cpu_count(),
                    memory_mib=self._guest_memory_mib,
                    kvm=kvm,
                    hypervisor="QEMU",
                    version=version,
                    cpu_model=cpu_model(),
                )
        return self._capacity

    async def guests(self) -> dict[ServerId, Guest]:
        """Every guest that carries our mark, running or not."""
        return await self._ask(self._guests)

    async def start(self, spec: GuestSpec) -> None:
        """Define the guest anew and start it."""
        text = definition(
            spec,
            kvm=(await self.capacity()).kvm,
            console_log=self._consoles.path(spec.server_id),
            console_socket=self._socket_dir / f"{spec.server_id}.sock",
        )

        def run(connection: Any) -> None:
            self._consoles.prepare()
            self._socket_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
            if _found(connection, spec.server_id) is None and _is_known(connection, spec.server_id):
                raise GuestFault(f"a domain with the id {spec.server_id} is there already, and it is not ours")
            domain = connection.defineXML(text)
            with self._known_secrets(connection, spec.disks):
                domain.create()

        await self._ask(run)
        log.info("guest started", server=spec.server_id, run=spec.run)

    async def shut_down(self, server_id: ServerId) -> None:
        """Press its power button."""
        await self._of(server_id, lambda guest: guest.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN))

    async def power_off(self, server_id: ServerId) -> None:
        """Take its power away."""
        await self._of(server_id, lambda guest: guest.destroy())
        log.info("guest powered off", server=server_id)

    async def resume(self, server_id: ServerId) -> None:
        """Let a guest that an I/O error paused try again."""
        await self._of(server_id, lambda guest: guest.resume())

    async def disks(self, server_id: ServerId) -> frozenset[VolumeId]:
        """The disks that a guest has now."""
        found: set[VolumeId] = set()
        await self._of(server_id, lambda guest: found.update(disks_in(guest.XMLDesc())))
        return frozenset(found)

    async def plug(self, server_id: ServerId, disk: GuestDisk) -> None:
        """Give a running guest one disk more."""

        def run(guest: Any) -> None:
            if disk.volume_id not in disks_in(guest.XMLDesc()):
                with self._known_secrets(guest.connect(), (disk,)):
                    guest.attachDeviceFlags(disk_definition(disk), libvirt.VIR_DOMAIN_AFFECT_LIVE)

        await self._of(server_id, run)
        log.info("disk plugged", server=server_id, volume=disk.volume_id)

    async def unplug(self, server_id: ServerId, volume_id: VolumeId) -> None:
        """Ask a running guest to let go of a disk."""

        def run(guest: Any) -> None:
            text = disks_in(guest.XMLDesc()).get(volume_id)
            if text is not None:
                _ask_to_let_go(guest, text)

        await self._of(server_id, run)
        log.info("disk asked back", server=server_id, volume=volume_id)

    async def resize(self, server_id: ServerId, volume_id: VolumeId, size_bytes: int) -> None:
        """Let a running guest see that a disk of its has grown."""

        def run(guest: Any) -> None:
            text = disks_in(guest.XMLDesc()).get(volume_id)
            if text is not None:
                grow(guest, text, volume_id, size_bytes)

        await self._of(server_id, run)
        log.info("disk grown", server=server_id, volume=volume_id, bytes=size_bytes)

    async def remove(self, server_id: ServerId) -> None:
        """Take its power away and forget its definition and its console log."""

        def run(connection: Any) -> None:
            guest = _found(connection, server_id)
            if guest is not None:
                _if_running(guest, lambda running: running.destroy())
                guest.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
            self._consoles.remove(server_id)

        await self._ask(run)
        log.info("guest removed", server=server_id)

    async def console(self, server_id: ServerId, length_max: int) -> bytes:
        """The last `length_max` bytes of its console log."""
        return await trio.to_thread.run_sync(self._consoles.tail, server_id, length_max, limiter=self._limiter)

    async def logs(self) -> frozenset[ServerId]:
        """The servers whose console log lies on this machine."""
        return await trio.to_thread.run_sync(self._consoles.servers, limiter=self._limiter)

    async def nudged(self) -> None:
        """Return when a guest changed its state since the last call returned."""
        await self._happened.wait()
        self._happened = trio.Event()

    async def aclose(self) -> None:
        """Let go of libvirtd. Guests run on."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await trio.to_thread.run_sync(connection.close)

    def _guests(self, connection: Any) -> dict[ServerId, Guest]:
        self._consoles.trim()
        guests = {}
        for domain in connection.listAllDomains():
            guest = _guest(domain)
            if guest is not None:
                guests[guest.server_id] = guest
        return guests

    async def _of(self, server_id: ServerId, act: Callable[[Any], object]) -> None:
        """Act on one guest of ours; one that is gone, or off, needs nothing of what is done here."""

        def run(connection: Any) -> None:
            guest = _found(connection, server_id)
            if guest is not None:
                _if_running(guest, act)

        await self._ask(run)

    async def _ask(self, question: Callable[[Any], T]) -> T:
        self._token = trio.lowlevel.current_trio_token()
        return await trio.to_thread.run_sync(self._answer, question, limiter=self._limiter, abandon_on_cancel=True)

    def _answer(self, question: Callable[[Any], T]) -> T:
        connection = self._connected()
        try:
            return question(connection)
        except libvirt.libvirtError as fault:
            if fault.get_error_code() in _LOST or not connection.isAlive():
                raise self._down(fault) from fault
            raise GuestFault(str(fault.get_error_message())) from fault

    def _connected(self) -> Any:
        _run_events()
        with self._connecting:
            if self._connection is None or not self._connection.isAlive():
                try:
                    connection = libvirt.open(self._uri)
                    connection.setKeepAlive(KEEPALIVE_S, KEEPALIVE_MISSES)
                except libvirt.libvirtError as fault:
                    raise self._down(fault) from fault
                for event in _EVENTS:
                    connection.domainEventRegisterAny(None, event, self._heard, None)
                connection.registerCloseCallback(self._heard, None)
                self._connection = connection
                log.info("connected to libvirt", uri=self._uri)
            return self._connection

    @contextmanager
    def _known_secrets(self, connection: Any, disks: Iterable[GuestDisk]) -> Iterator[None]:
        """libvirt knows the keys of encrypted disks only while QEMU gets them. Clones share a key: one at a time."""
        locked = [disk for disk in disks if disk.key_id]
        if not locked:
            yield
            return
        with self._handing:
            secrets = {}
            for disk in locked:
                secrets[disk.key_id] = connection.secretDefineXML(secret_definition(disk.key_id))
                secrets[disk.key_id].setValue(disk.passphrase)
            try:
                yield
            finally:
                for secret in secrets.values():
                    secret.undefine()

    def _down(self, fault: Exception) -> HypervisorDown:
        return HypervisorDown(
            f"libvirt does not answer at {self._uri}: {fault}. Guests that run go on; look at the service libvirtd."
        )

    def _heard(self, *_: object) -> None:
        """Called in libvirt's thread."""
        token = self._token
        if token is not None:
            try:
                token.run_sync_soon(self._nudge)
            except trio.RunFinishedError:
                self._token = None

    def _nudge(self) -> None:
        self._happened.set()


def _run_events() -> None:
    """Start libvirt's event loop, once a process. It must run before the first connection is opened."""
    with _events_lock:
        if not _events_run.is_set():
            libvirt.virEventRegisterDefaultImpl()
            libvirt.registerErrorHandler(_said, None)
            threading.Thread(target=_events, name="libvirt-events", daemon=True).start()
            _events_run.set()


def _events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def _said(_: object, error: object) -> None:
    """libvirt prints each error to standard error unless somebody takes it; the exception says the same."""
    log.debug("libvirt said", error=error)


def _is_known(connection: Any, server_id: ServerId) -> bool:
    return any(domain.UUIDString() == server_id for domain in connection.listAllDomains())


def _if_running(guest: Any, act: Callable[[Any], object]) -> None:
    """Act on a guest that runs. One that ends by itself between question and act needs it no more."""
    if not guest.isActive():
        return
    try:
        act(guest)
    except libvirt.libvirtError:
        if guest.isActive():
            raise


def _ask_to_let_go(guest: Any, text: str) -> None:
    """A guest that was asked a moment ago, or that has let go meanwhile, is no failure."""
    try:
        guest.detachDeviceFlags(text, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    except libvirt.libvirtError as fault:
        if fault.get_error_code() not in _GONE and _ASKED_ALREADY not in str(fault.get_error_message()):
            raise


def _found(connection: Any, server_id: ServerId) -> Any:
    """The guest of that id if it carries our mark; None otherwise: strangers are not touched."""
    try:
        domain = connection.lookupByUUIDString(server_id)
    except libvirt.libvirtError as fault:
        if fault.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise
    return None if _marked_run(domain) is None else domain


def _marked_run(domain: Any) -> int | None:
    try:
        return run_of(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, MARK))
    except libvirt.libvirtError as fault:
        if fault.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN_METADATA, libvirt.VIR_ERR_NO_DOMAIN):
            return None
        raise


def _guest(domain: Any) -> Guest | None:
    """What a domain on the list is, if it is ours and is there still: others are removed while a list is read."""
    run = _marked_run(domain)
    if run is None:
        return None
    server_id = ServerId(domain.UUIDString())
    try:
        state = _state(domain)
        trouble = _trouble(domain) if state is GuestState.PAUSED else ""
        return Guest(server_id=server_id, state=state, run=run, trouble=trouble)
    except libvirt.libvirtError as fault:
        if fault.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def _trouble(domain: Any) -> str:
    """Which disk a paused guest waits for, and why; QEMU remembers until the guest goes on."""
    lacking = domain.diskErrors()
    full = sorted(name for name, error in lacking.items() if error == libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE)
    if full:
        return POOL_FULL.format(disks=" and ".join(full))
    return NO_ANSWER.format(disks=" and ".join(sorted(lacking)) or "disk")


def _state(domain: Any) -> GuestState:
    state, reason = domain.state()
    if state == libvirt.VIR_DOMAIN_PAUSED and reason == libvirt.VIR_DOMAIN_PAUSED_IOERROR:
        return GuestState.PAUSED
    if state == libvirt.VIR_DOMAIN_SHUTOFF and reason == libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN:
        return GuestState.ENDED_ITSELF
    if state in (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED):
        return GuestState.OFF
    return GuestState.RUNNING
