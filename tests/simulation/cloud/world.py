"""A cloud in bad weather, from a seed: everything above the machine is real, and one seed gives one history.

Hosts lose power, daemons are killed, wires are cut, disks get slow or fail, while users make and delete things. Then
all is healed; the cloud must come to rest, and `invariants.py` says what must be true of it.
"""

import gc
import random
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import httpx
import structlog
import trio
from trio.testing import MockClock

from consensus.log import StorageFailed
from consensus.members.commands import AdmitNode, FoundCluster
from noded.core.clock import now_ms
from noded.core.dice import new_hex_id, new_uuid
from noded.core.ids import NodeId, ProjectId
from noded.core.service import Founding
from noded.services import SERVICES
from tests.simulation.cloud.air import Air
from tests.simulation.cloud.host import Daemon, Host, cheap_passwords
from tests.simulation.cloud.invariants import check_cloud
from tests.simulation.cloud.users import Answer, Ledger, User
from tests.simulation.log.registers import Violation
from tests.simulation.schedule import virtual
from tests.twins.cloud import ADMIN_PASSWORD, BASE
from tests.twins.segment import Segment

USERS: Final = 3
FAULT_S: Final = 3.0  # on average between two
REST_S: Final = 70.0  # longer than any reconciler sleeps: who is at rest for so long has nothing left to do
SETTLE_S: Final = 1800.0
REQUEST_S: Final = 40.0
FAULTS: Final = (
    "kill",
    "kill leader",
    "power",
    "power cut",
    "cut",
    "one way",
    "isolate",
    "isolate leader",
    "slow",
    "eio",
)


class CloudWorld:
    """Hosts, the air between them, users, and what goes wrong."""

    def __init__(
        self, seed: int, directory: Path, *, hosts: int = 3, seconds: float = 40.0, faults: Sequence[str] | None = None
    ) -> None:
        """`faults`: those that may happen; None: the seed draws them."""
        self.seed = seed
        self.dice = random.Random(f"{seed} cloud")
        self.seconds = seconds
        self.air = Air(seed)
        self.ledger = Ledger()
        self.counts: Counter[str] = Counter()
        self.trace = 0
        self.bugs: list[str] = []  # what the product itself called unexpected
        segment = Segment()
        (directory / "volumes").mkdir()
        self.hosts = {}
        for number in range(1, hosts + 1):
            (directory / str(number)).mkdir()
            host = Host(number, directory / str(number), directory / "volumes", segment.discovery())
            self.hosts[host.node_id] = host
        self.founder = next(iter(self.hosts))
        self.daemons: dict[NodeId, Daemon] = {}
        self._scopes: dict[NodeId, trio.CancelScope] = {}
        self._down_s: dict[NodeId, float] = {}
        drawn = self.dice.sample(FAULTS, self.dice.randint(2, len(FAULTS)))
        self._faults = drawn if faults is None else faults
        self._tokens: dict[str, str] = {}

    def run(self) -> None:
        """Live, heal, settle, check. Raises Violation."""
        before = structlog.get_config()
        # What the collector finds, it finds after so many allocations, and then generators end: other seeds' garbage
        # must not decide when.
        gc.collect()
        gc.disable()
        structlog.configure(processors=[self._hear_log])
        try:
            with virtual(self.seed):
                trio.run(self._run, clock=MockClock(autojump_threshold=0))
        finally:
            structlog.configure(**before)
            gc.enable()

    def _hear_log(self, _logger: object, method: str, event: structlog.typing.EventDict) -> str:
        if method == "exception" or event.get("exc_info"):
            self.bugs.append(f"{event}\n{traceback.format_exc(limit=-4)}")
        raise structlog.DropEvent

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_running, self.founder)
            await self._found()
            for node_id in self.hosts:
                if node_id != self.founder:
                    nursery.start_soon(self._keep_running, node_id)
            await self._wait(lambda: all(daemon.gateway for daemon in self.daemons.values()), 120.0, "not started")
            users = [User(number, self.seed, self, self.ledger) for number in range(USERS)]
            await self._wait(self._may_place, 120.0, "no place for servers")
            await users[0].begin()
            with trio.move_on_after(self.seconds):
                async with trio.open_nursery() as weather:
                    for user in users:
                        weather.start_soon(user.live)
                    weather.start_soon(self._weather)
            await self._settle()
            check_cloud(self)
            nursery.cancel_scope.cancel()

    # -- how it begins

    async def _found(self) -> None:
        await self._wait(
            lambda: self.founder in self.daemons and self.daemons[self.founder].raft.is_leader, 30.0, "none"
        )
        founding = Founding(
            now_ms=now_ms(),
            new_uuid=new_uuid,
            new_hex_id=new_hex_id,
            admin_project_id=ProjectId(new_hex_id()),
            admin_password_hash=await cheap_passwords().hash(ADMIN_PASSWORD),
        )
        first = FoundCluster(
            cluster_id="c1",
            name="cloud",
            authority_certificate_pem="simulated",
            authority_key_pem="simulated",
            founder=self.hosts[self.founder].record(),
            now_ms=now_ms(),
        )
        cluster = self.daemons[self.founder].cluster
        await cluster.propose(
            first, *(one for service in SERVICES if service.founding for one in service.founding(founding))
        )
        for node_id, host in self.hosts.items():
            if node_id != self.founder:
                record = host.record()
                await cluster.propose(
                    AdmitNode(
                        node_id=node_id,
                        name=record.name,
                        addresses=record.addresses,
                        fingerprint=record.fingerprint,
                        release=record.release,
                        now_ms=now_ms(),
                    )
                )

    def _may_place(self) -> bool:
        voters = self.daemons[self.founder].raft.voters
        return len(voters) == min(3, len(self.hosts)) and all(host.disks.held for host in self.hosts.values())

    async def _wait(self, condition: Callable[[], object], limit_s: float, why: str) -> None:
        end = trio.current_time() + limit_s
        while not condition():
            if trio.current_time() > end:
                raise Violation(f"{why} within {limit_s} s")
            await trio.sleep(0.5)

    # -- processes

    async def _keep_running(self, node_id: NodeId) -> None:
        """The process and its supervisor: it is started again whenever it ends."""
        while True:
            peers = [peer for peer in self.hosts if peer != node_id]
            heard = self._hear_of(node_id)
            daemon = Daemon(self.hosts[node_id], self.air, peers, found=node_id == self.founder, heard=heard)
            self.daemons[node_id] = daemon
            with trio.CancelScope() as scope:
                self._scopes[node_id] = scope
                try:
                    await daemon.run()
                except* StorageFailed:
                    self.counts["disks failed"] += 1
            del self.daemons[node_id]
            await trio.sleep(self._down_s.pop(node_id, 1.0))
            self.air.lighten(node_id)

    def _hear_of(self, node_id: NodeId) -> Callable[[int], None]:
        def heard(index: int) -> None:
            self.trace = zlib.crc32(f"{trio.current_time():.6f} {node_id} {index}".encode(), self.trace)
            self.counts["applied"] += 1

        return heard

    def _kill(self, node_id: NodeId, down_s: float) -> None:
        if node_id in self.daemons and not self._scopes[node_id].cancel_called:
            self.counts["kills"] += 1
            self._down_s[node_id] = down_s
            self._scopes[node_id].cancel()

    def _lose_power(self, node_id: NodeId, down_s: float) -> None:
        if node_id in self.daemons:
            self.counts["power losses"] += 1
            self.air.darken(node_id)
            self._kill(node_id, down_s)
            self.hosts[node_id].lose_power()

    # -- weather

    async def _weather(self) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(self.dice.expovariate(1 / FAULT_S))
                if self._faults:
                    nursery.start_soon(self._break_something, self.dice.choice(self._faults))

    async def _break_something(self, fault: str) -> None:
        node_id = self._leader() if fault.endswith("leader") else self.dice.choice(list(self.hosts))
        host = self.hosts[node_id]
        seconds = self.dice.uniform(0.5, 12.0)
        match fault:
            case "kill" | "kill leader":
                self._kill(node_id, self.dice.uniform(0.1, 4.0))
            case "power":
                self._lose_power(node_id, seconds)
            case "power cut":
                for one in self.hosts:
                    self._lose_power(one, self.dice.uniform(0.5, 4.0))
            case "slow":
                host.slowness = self.dice.choice((20.0, 200.0))
                await trio.sleep(seconds)
                host.slowness = 1.0
            case "eio":
                host.disk_fails = True
                await trio.sleep(seconds)
                host.disk_fails = False
            case _:
                await self._cut_for(fault, node_id, seconds)

    async def _cut_for(self, fault: str, node_id: NodeId, seconds: float) -> None:
        others = [other for other in self.hosts if other != node_id]
        if not others:
            return
        self.counts["cuts"] += 1
        far = others if fault.startswith("isolate") else [self.dice.choice(others)]
        ways = [(node_id, other) for other in far]
        if fault != "one way":
            ways += [(other, node_id) for other in far]
        for way in ways:
            self.air.cut(*way)
        await trio.sleep(seconds)
        for way in ways:
            self.air.mend(*way)

    def _leads(self, node_id: NodeId) -> bool:
        return node_id in self.daemons and self.daemons[node_id].raft.is_leader

    def _leader(self) -> NodeId:
        leading = [node_id for node_id in self.daemons if self._leads(node_id)]
        return leading[0] if leading else self.founder

    # -- the API as users have it

    async def request(
        self, verb: str, path: str, *, body: object = None, raw: bytes | None = None, headers: dict[str, str]
    ) -> Answer:
        """Ask any node that serves; the request ends with the process that serves it."""
        serving = [node_id for node_id, daemon in self.daemons.items() if daemon.gateway is not None]
        if not serving:
            return Answer(0)
        node_id = self.dice.choice(serving)
        gateway, (nursery, _) = self.daemons[node_id].gateway, self.air.served[node_id]
        answers: list[Answer] = []
        over = trio.Event()

        async def ask() -> None:
            try:
                transport = httpx.ASGITransport(gateway, raise_app_exceptions=True, client=("10.77.0.9", 5000))  # type: ignore[arg-type]
                async with httpx.AsyncClient(transport=transport, base_url=BASE, timeout=None) as client:
                    found = await client.request(verb, path, json=body, content=raw, headers=headers)
                is_json = found.headers.get("content-type", "").startswith("application/json")
                answers.append(Answer(found.status_code, found.json() if is_json else None, dict(found.headers)))
            finally:
                over.set()

        nursery.start_soon(ask)
        with trio.move_on_after(REQUEST_S):
            await over.wait()
        answer = answers[0] if answers else Answer(0)
        if answer.status == 500:
            raise Violation(f"{verb} {path} met a bug: {answer.body}; {self.bugs}")
        return answer

    # -- the end

    async def _settle(self) -> None:
        """Heal everything, and wait until nobody has anything left to do."""
        self.air.mend_all()
        for host in self.hosts.values():
            host.slowness, host.disk_fails = 1.0, False
        end = trio.current_time() + SETTLE_S
        before, since = self._standing(), trio.current_time()
        while True:
            await trio.sleep(5.0)
            now = self._standing()
            if now != before:
                before, since = now, trio.current_time()
            elif len(now) == len(self.hosts) and len(set(now.values())) == 1 and trio.current_time() - since > REST_S:
                return
            if trio.current_time() > end:
                raise Violation(f"the cloud finds no rest: {now}")

    def _standing(self) -> dict[NodeId, int]:
        return {
            node_id: int(daemon.machine.picture.revision) for node_id, daemon in self.daemons.items() if daemon.gateway
        }
