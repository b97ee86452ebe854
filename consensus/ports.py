"""Which ports do nodes meet on? The one place that says so."""

from typing import Final

RAFT_PORT: Final = 7400
PEERS_PORT: Final = 7401
DOOR_PORT: Final = 7402
