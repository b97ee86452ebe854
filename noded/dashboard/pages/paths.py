"""Where are the APIs that pages ask? Their prefixes on this node."""

from typing import Final

IDENTITY: Final = "/identity/v3"
COMPUTE: Final = "/compute/v2.1"
IMAGE: Final = "/image/v2"
NETWORK: Final = "/network/v2.0"
VOLUME: Final = "/volume/v3"
NODED: Final = "/noded/v1"
STATUS: Final = f"{NODED}/status"
