"""How a call finds its node, and there its handler: on this node at once, on another through its daemon."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from structlog.contextvars import bound_contextvars

from consensus.machine import Machine
from consensus.members.links import addresses_in
from noded.core.clock import now_ms
from noded.core.dice import new_request_id
from noded.core.errors import NotFound, Unavailable
from noded.core.ids import NodeId, RequestId
from noded.core.origin import of_console
from noded.core.service import PeerContext, PeerHandler, Service


class Caller(Protocol):
    """Asks other nodes; `consensus/host/peers.py`."""

    async def call(self, node_id: NodeId, method: str, payload: bytes) -> bytes: ...


class AddressBook:
    """Where other nodes are: what their records say, and before those are known, what was said at admission."""

    def __init__(self, store: Machine, at_admission: Mapping[NodeId, Sequence[str]]) -> None:
        self._store = store
        self._known: dict[NodeId, Sequence[str]] = dict(at_admission)

    def addresses_of(self, node_id: NodeId) -> Sequence[str]:
        """The node's addresses, best first; empty if nothing is known of it.

        Those of a node that has just gone are kept: it must still be told so.
        """
        recorded = addresses_in(self._store.picture, node_id)
        if recorded:
            self._known[node_id] = recorded
        return self._known.get(node_id, ())


class PeerCalls:
    """All peer calls of the registered services, as server and as client."""

    def __init__(self, node_id: NodeId, services: Iterable[Service], elsewhere: Caller) -> None:
        self._node_id = node_id
        self._elsewhere = elsewhere
        self._context: PeerContext | None = None
        self._is_ready = False
        self._early: set[str] = set()
        self._handlers: dict[str, PeerHandler] = {}
        self._local: dict[str, PeerHandler] = {}
        for service in services:
            self._early |= service.early_calls
            for calls, table in ((service.peer_calls, self._handlers), (service.local_calls, self._local)):
                for method, handler in calls.items():
                    assert method not in self._handlers | self._local, f"two handlers for {method}"
                    table[method] = handler

    def waiting(self, context: PeerContext) -> None:
        """From now on those handlers may run that need the log alone; others are refused until `ready`."""
        self._context = context

    def ready(self, context: PeerContext) -> None:
        """From now on all handlers may run: the cluster's handle and the drivers are there."""
        self._context = context
        self._is_ready = True

    def served(self) -> Mapping[str, Callable[[NodeId, bytes], Awaitable[bytes]]]:
        """What other members may ask, in the form that the peer server takes."""
        return {method: self._served(method) for method in self._handlers}

    def served_locally(self) -> Mapping[str, Callable[[NodeId, bytes], Awaitable[bytes]]]:
        """What root on this host may ask, in the same form: all that members may, and the calls of the console."""
        return {**self.served(), **{method: self._at_the_console(method) for method in self._local}}

    async def call(self, node_id: NodeId, method: str, payload: bytes) -> bytes:
        """Ask one node, this one too. Raises what it refused, or `Unavailable`."""
        if node_id == self._node_id:
            return await self._answer(method, payload)
        return await self._elsewhere.call(node_id, method, payload)

    def _served(self, method: str) -> Callable[[NodeId, bytes], Awaitable[bytes]]:
        async def serve(_caller: NodeId, payload: bytes) -> bytes:
            return await self._answer(method, payload)

        return serve

    def _at_the_console(self, method: str) -> Callable[[NodeId, bytes], Awaitable[bytes]]:
        async def serve(_caller: NodeId, payload: bytes) -> bytes:
            context = self._context_for(method)
            request_id = RequestId(new_request_id())
            cluster = context.cluster.acting_for(of_console(self._node_id, request_id, now_ms()))
            with bound_contextvars(request=request_id):
                return await self._local[method](PeerContext(cluster=cluster, drivers=context.drivers), payload)

        return serve

    def _context_for(self, method: str) -> PeerContext:
        assert self._context is not None, "calls are served once the log runs"
        if not self._is_ready and method not in self._early:
            raise Unavailable(
                "This node waits for the cluster's state: it reaches no majority of the voters yet."
                " `noded cluster recover --plan` shows which nodes it hears, and what to do if the others are lost."
            )
        return self._context

    async def _answer(self, method: str, payload: bytes) -> bytes:
        handler = self._handlers.get(method)
        if handler is None:
            raise NotFound.of("peer call", method)
        return await handler(self._context_for(method), payload)
