"""A revoked token is refused on every node within a second, whoever leads and dies; new keys end no good one.

The cloud is simulated, its log real: three daemons, each with its own store.
"""

import tempfile
from pathlib import Path

import httpx
import trio
from cryptography.fernet import Fernet

from noded.core.clock import now_ms
from noded.core.dice import new_hex_id
from noded.core.ids import NodeId
from noded.identity.model import TokenKey
from noded.identity.tokens.commands import AddTokenKey
from tests.simulation.cloud.world import CloudWorld
from tests.twins.cloud import ADMIN_PASSWORD, BASE, sign_in_body

REFUSED_S_MAX = 1.0
TOKENS = "/identity/v3/auth/tokens"


class Town(CloudWorld):
    """Three nodes and the story of their tokens."""

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_running, self.founder)
            await self._found()
            for node_id in self.hosts:
                if node_id != self.founder:
                    nursery.start_soon(self._keep_running, node_id)
            await self._wait(lambda: len(self.serving()) == len(self.hosts), 120.0, "not all serve")
            await self._wait(lambda: len(self.daemons[self.founder].raft.voters) == len(self.hosts), 120.0, "no voters")
            await self._story()
            nursery.cancel_scope.cancel()

    async def _story(self) -> None:
        for _ in range(2):
            first = next(iter(self.hosts))
            token, kept = [await self._sign_in(first) for _ in range(2)]
            await self._until_all_say(200, token, 5.0)
            leader = self._leader()
            self._kill(leader, 3.0)
            other = next(node_id for node_id in self.serving() if node_id != leader)
            while await self._ask(other, "DELETE", token, subject=token) != 204:
                await trio.sleep(0.05)  # until somebody leads again
            await self._until_all_say(401, token, REFUSED_S_MAX)
            await self._wait(lambda: len(self.serving()) == len(self.hosts), 60.0, "the killed one does not come back")
            await self._until_all_say(401, token, REFUSED_S_MAX)
            for _ in range(2):
                await self._rotate()
            await self._until_all_say(200, kept, 5.0)

    def serving(self) -> list[NodeId]:
        return [node_id for node_id, daemon in self.daemons.items() if daemon.gateway is not None]

    async def _until_all_say(self, status: int, token: str, limit_s: float) -> None:
        end = trio.current_time() + limit_s
        for node_id in self.serving():
            while (said := await self._ask(node_id, "GET", token)) != status:
                assert trio.current_time() < end, f"{node_id} says {said} after {limit_s} s, not {status}"
                await trio.sleep(0.05)

    async def _rotate(self) -> None:
        cluster = self.daemons[self.serving()[0]].cluster
        newest = max(key.number for key in cluster.view().all(TokenKey))
        secret, now = Fernet.generate_key(), now_ms()
        await cluster.propose(AddTokenKey(key_id=new_hex_id(), secret=secret, now_ms=now, after_number=newest))

    async def _sign_in(self, node_id: NodeId) -> str:
        async with self._client(node_id) as client:
            answer = await client.post(TOKENS, json=sign_in_body("admin", ADMIN_PASSWORD, "admin"))
            assert answer.status_code == 201, answer.text
            return answer.headers["x-subject-token"]

    async def _ask(self, node_id: NodeId, verb: str, token: str, subject: str | None = None) -> int:
        headers = {"x-auth-token": token} | ({} if subject is None else {"x-subject-token": subject})
        path = "/identity/v3/auth/projects" if subject is None else TOKENS
        async with self._client(node_id) as client:
            return (await client.request(verb, path, headers=headers)).status_code

    def _client(self, node_id: NodeId) -> httpx.AsyncClient:
        gateway = self.daemons[node_id].gateway
        assert gateway is not None
        transport = httpx.ASGITransport(gateway, client=("10.77.0.9", 5000))  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url=BASE, timeout=None)


def test_a_revoked_token_is_refused_everywhere_within_a_second() -> None:
    with tempfile.TemporaryDirectory() as directory:
        world = Town(5, Path(directory), faults=())
        world.run()
        assert world.counts["kills"] == 2
        assert world.bugs == []
