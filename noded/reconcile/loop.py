"""When a reconciler runs: at the start, when a record it watches changes, when the machine nudges it, and by time."""

import structlog
import trio

from noded.core.cluster import Cluster
from noded.core.errors import Refused
from noded.core.ids import Revision
from noded.core.reconciler import Nudged, Reconciler
from noded.reconcile.backoff import Backoff

LOOK_S = 0.2  # between two looks whether a majority is back

log = structlog.get_logger(__name__)


async def keep_reconciling(reconciler: Reconciler, cluster: Cluster) -> None:
    """Run passes for ever. A fault is logged and the pass is tried again, later each time."""
    backoff = Backoff()
    while True:
        seen = cluster.view().revision
        try:
            await reconciler.reconcile()
        except Exception as fault:
            wait_s = backoff.after_fault()
            if (refused := _refusal_in(fault)) is not None:
                log.warning("pass refused", reconciler=reconciler.name, why=refused.message, again_in_s=wait_s)
            else:
                log.exception("pass failed", reconciler=reconciler.name, again_in_s=wait_s)
            await _pause(cluster, wait_s)
        else:
            backoff.after_success()
            with trio.move_on_after(reconciler.period_s):
                await _woken(reconciler, cluster, seen)


def _refusal_in(fault: Exception) -> Refused | None:
    """The first refusal, also out of a nursery that the pass worked in; None if anything else went wrong too."""
    if not isinstance(fault, ExceptionGroup):
        return fault if isinstance(fault, Refused) else None
    found = [_refusal_in(each) for each in fault.exceptions]
    return found[0] if all(found) else None


async def _pause(cluster: Cluster, wait_s: float) -> None:
    """Sleep; no longer than until a majority is back, if it was away: then what was refused goes on at once."""
    was_cut_off = not cluster.has_majority
    with trio.move_on_after(wait_s):
        while not (was_cut_off and cluster.has_majority):  # noqa: ASYNC110  # nobody announces that it is back
            await trio.sleep(LOOK_S)


async def _woken(reconciler: Reconciler, cluster: Cluster, seen: Revision) -> None:
    """Return when the store or the machine says that there may be something to do."""
    async with trio.open_nursery() as nursery:

        async def changed() -> None:
            await cluster.changed(reconciler.watches, seen)
            nursery.cancel_scope.cancel()

        async def nudged(source: Nudged) -> None:
            await source.nudged()
            nursery.cancel_scope.cancel()

        nursery.start_soon(changed)
        if isinstance(reconciler, Nudged):
            nursery.start_soon(nudged, reconciler)
