"""What makes a node's host match the store. Level-triggered: woken by change and by time, never told what changed."""

from typing import Protocol, TypeVar, cast, runtime_checkable

from noded.core.record import Record

D = TypeVar("D")


class Reconciler(Protocol):
    """One pass compares desired with observed, acts, and reports. Running it twice changes nothing."""

    @property
    def name(self) -> str:
        """How logs and `noded explain` call it, such as `servers`."""

    @property
    def watches(self) -> tuple[type[Record], ...]:
        """The records whose change wakes it."""

    @property
    def period_s(self) -> float:
        """How long it may sleep although nothing changed."""

    async def reconcile(self) -> None:
        """One pass. An exception is logged, and the pass is tried again with back-off."""


@runtime_checkable
class Nudged(Protocol):
    """A reconciler that the machine itself may wake: a guest ended, a disk vanished."""

    async def nudged(self) -> None:
        """Return when something happened on this machine since the last pass began."""


class Drivers:
    """The machine's drivers, each found by the protocol that it implements. Filled once, by `noded/daemon.py`."""

    def __init__(self) -> None:
        self._by_protocol: dict[type, object] = {}

    def add(self, protocol: type[D], driver: D) -> None:
        """Register the driver that stands for `protocol`."""
        assert protocol not in self._by_protocol, f"two drivers for {protocol.__name__}"
        self._by_protocol[protocol] = driver

    def get(self, protocol: type[D]) -> D:
        """The driver that stands for `protocol`."""
        return cast(D, self._by_protocol[protocol])
