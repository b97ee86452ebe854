"""How much may one client ask of the front door? Every limit has its name here and nowhere else."""

from dataclasses import dataclass
from typing import Final

from noded.core.units import GIB, KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What strangers can make the node hold: an idle connection costs about 50 KiB with its TLS state."""

    connections_max: int = 512
    per_address_max: int = 256
    backlog: int = 256
    handshake_s: float = 10.0  # a TLS handshake that takes longer is dropped
    idle_s: float = 30.0  # no complete request head for so long: closed. Slow heads (Slowloris) end here too
    head_bytes_max: int = 64 * KIB  # request line and headers together
    unsent_s: float = 60.0  # a client that takes nothing of its answer for so long is dropped
    accept_pause_s: float = 0.1  # after the kernel refused a connection, such as for want of file descriptors
    body_queue_max: int = 4  # pieces (64 KiB) of a body that wait for a handler slower than the network
    grace_s: float = 2.0  # how long answers under way may take when the daemon stops


# Requests.
PATH_SEGMENTS_MAX: Final = 64
QUERY_FIELDS_MAX: Final = 200
FORM_FIELDS_MAX: Final = 200
BODY_IDLE_S: Final = 60.0  # a body of which nothing arrives for so long is given up
TOKEN_CHARS_MAX: Final = 12 * KIB  # with all the groups that an identity provider may tell of
HOST_CHARS_MAX: Final = 255

# A refused body is read and thrown away up to here; then the connection is closed on a client that is still sending.
# So much, because whoever only sends, such as Python's requests, takes that for a broken connection and shows its user
# no reason: an image of the usual size shall be refused with one.
DRAIN_BYTES_MAX: Final = GIB
DRAIN_S: Final = 10.0
