"""What do all ways into a cluster share? Who this node is, how it asks, and the one moment at which it is a member."""

import secrets
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from ssl import SSLError

import structlog
import trio

from consensus.admission import PROBE_NONCE_BYTES, Admitted, AskAdmission, EntryConfig, Response
from consensus.entering import Fault, Faults
from consensus.host.door import DoorSession
from consensus.host.identity import NodeIdentity
from consensus.host.interfaces import mtu_of
from consensus.host.membership import Membership, found, join
from consensus.host.preflight import DIAL_S_MAX, probes
from consensus.links import Discovery
from noded.core.clock import now_ms
from noded.core.errors import Conflict

ASK_S_MAX = DIAL_S_MAX + 27.0  # the members dial back, and then the log must have its entry

log = structlog.get_logger()


class Newcomer:
    """An unclaimed node. Whichever way is first makes it a member; the others then stop."""

    def __init__(self, config: EntryConfig, identity: NodeIdentity, state_dir: Path, discovery: Discovery) -> None:
        self.config = config
        self.identity = identity
        self.state_dir = state_dir
        self.discovery = discovery
        self.done = trio.Event()
        self.membership: Membership | None = None
        self.background: trio.Nursery | None = None  # where what goes on between two questions runs
        self._faults = Faults()
        self._asking = trio.Lock()  # the ports that members try can be had once only

    # Without an await in between: what is decided is on disk before anyone can ask again.

    def found(self, cluster_name: str) -> None:
        """Make a cluster of this node alone."""
        self._expect_free()
        self._finish(found(self.state_dir, self.identity, cluster_name))
        log.info("cluster founded", node=self.identity.node_id, cluster=cluster_name)

    def take(self, admitted: Admitted, by: str) -> None:
        """Become the member that a cluster has admitted. Raises Conflict if this node is one already, or the
        certificate is not for its key."""
        self._expect_free()
        try:
            membership = join(self.state_dir, self.identity, admitted)
        except SSLError as error:
            raise Conflict(f"The certificate given can't be used: {error}.") from error
        self._finish(membership)
        log.info("node admitted", node=self.identity.node_id, cluster=admitted.cluster_name, by=by)

    def _expect_free(self) -> None:
        if self.done.is_set():
            raise Conflict("This node has just become a member of a cluster.")

    def _finish(self, membership: Membership) -> None:
        self.membership = membership
        self.done.set()

    # Asking.

    def request(self, nonce: bytes, *, secret: bytes = b"", agreed: bool = True) -> AskAdmission:
        """What this node asks for admission with."""
        config = self.config
        return AskAdmission(
            name=config.name,
            addresses=config.addresses,
            release=config.release,
            now_ms=now_ms(),
            role=config.role,
            mtu=mtu_of(config.addresses[0]),
            ports_to_come=config.ports_to_come,
            ports_shown=(config.door_port, *config.ports_shown),
            nonce=nonce,
            secret=secret,
            agreed=agreed,
            level=config.level,
        )

    async def ask(self, session: DoorSession, *, secret: bytes = b"") -> Response:
        """Ask for admission, with all ports open that members must reach. Raises DoorClosed, OSError, PortTaken."""
        nonce = secrets.token_bytes(PROBE_NONCE_BYTES)
        async with self._asking, self.open_ports(nonce):
            return await session.ask(self.request(nonce, secret=secret), ASK_S_MAX)

    def open_ports(self, nonce: bytes) -> AbstractAsyncContextManager[None]:
        """A context in which whoever dials the ports to come hears the nonce. Raises PortTaken."""
        return probes(self.config.addresses[0], self.config.ports_to_come, nonce)

    async def open_ports_for(self, nonce: bytes, seconds: float) -> None:
        """Return when whoever dials the ports to come hears the nonce; they close after a while. Raises PortTaken."""
        assert self.background is not None, "asked while the node holds its doors"
        await self.background.start(self._hold_ports, nonce, seconds)

    async def _hold_ports(
        self, nonce: bytes, seconds: float, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with trio.move_on_after(seconds):
            async with self._asking, self.open_ports(nonce):
                task_status.started()
                await trio.sleep_forever()

    # What went wrong.

    def fault(self, door: str, by: str, reason: str) -> None:
        """Remember why an attempt came to nothing; in the log once."""
        if self._faults.note(door, by, reason, now_ms()):
            log.warning("not admitted", door=door, by=by, reason=reason, more="noded claim")

    def faults(self) -> tuple[Fault, ...]:
        """The newest faults first."""
        return self._faults.newest()
