"""Since when does something in the records not go on? Never stored: each daemon counts from when it saw it."""

import trio

from noded.core.cluster import Cluster
from noded.core.reconciler import Drivers
from noded.core.record import Record
from noded.doctor.model import FirstSeen
from noded.doctor.views import of_records
from noded.inspection.links import Registry

PERIOD_S = 30.0  # at 10,000 volumes a look takes 0.1 s


class FirstSeenReconciler:
    """Looks at the records now and then, and keeps since when it has seen what it sees. Changes nothing."""

    name = "doctor"
    watches: tuple[type[Record], ...] = ()
    period_s = PERIOD_S

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._services = drivers.get(Registry).services
        self._standing = drivers.get(FirstSeen)

    async def reconcile(self) -> None:
        """One pass."""
        self._standing.note(of_records(self._services, self._cluster.view()), trio.current_time())
        await trio.lowlevel.checkpoint()
