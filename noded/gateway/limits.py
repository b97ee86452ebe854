"""How much may one client ask of the front door? Every limit has its name here and nowhere else."""

from typing import Final

from noded.core.units import KIB, MIB

# Connections. One costs about 100 KiB with its TLS state, so these bound what strangers can make the node hold.
CONNECTIONS_MAX: Final = 512
CONNECTIONS_PER_ADDRESS_MAX: Final = 256
BACKLOG: Final = 256
HANDSHAKE_S: Final = 10.0  # a TLS handshake that takes longer is dropped
IDLE_S: Final = 30.0  # no complete request head for so long: closed. Slow heads (Slowloris) end here too
HEAD_BYTES_MAX: Final = 64 * KIB  # request line and headers together
UNSENT_S: Final = 60.0  # a client that takes nothing of its answer for so long is dropped
ACCEPT_PAUSE_S: Final = 0.1  # after the kernel refused a new connection, such as for want of file descriptors

# Requests.
PATH_SEGMENTS_MAX: Final = 64
QUERY_FIELDS_MAX: Final = 200
FORM_FIELDS_MAX: Final = 200
BODY_IDLE_S: Final = 60.0  # a body of which nothing arrives for so long is given up
TOKEN_CHARS_MAX: Final = 4 * KIB
HOST_CHARS_MAX: Final = 255

# A refused body is read and thrown away up to here, because closing on a client that is still sending loses the answer.
DRAIN_BYTES_MAX: Final = 32 * MIB
DRAIN_S: Final = 10.0

BODY_QUEUE_MAX: Final = 4  # pieces (64 KiB) of a body that wait for a handler which is slower than the network
GRACE_S: Final = 2.0  # how long answers under way may take when the daemon stops
