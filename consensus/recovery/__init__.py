"""When things are lost: backups of the whole state, restoring them, and going on without a majority. Our own API."""

from consensus.endpoint import NODED
from consensus.recovery.api import ROUTES
from consensus.recovery.authority import EARLY_CALLS, LOCAL_CALLS, PEER_CALLS
from consensus.recovery.commands import BeginLife
from consensus.recovery.model import Life
from noded.core.service import Service

SERVICE = Service(
    name="consensus.recovery",
    endpoint=NODED,
    records=(Life,),
    commands=(BeginLife,),
    routes=ROUTES,
    peer_calls=PEER_CALLS,
    local_calls=LOCAL_CALLS,
    early_calls=EARLY_CALLS,
)
