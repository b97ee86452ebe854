"""From which microversion on a volume has which key, and a list takes which filter (Cinder's microversion history)."""

from typing import Final

Version = tuple[int, int]

GLANCE_METADATA_FILTER: Final[Version] = (3, 4)
SUMMARY: Final[Version] = (3, 12)
GROUP: Final[Version] = (3, 13)
PROVIDER: Final[Version] = (3, 21)
LIKE_FILTERS: Final[Version] = (3, 34)
SUMMARY_METADATA: Final[Version] = (3, 36)
COUNT: Final[Version] = (3, 45)
SERVICE: Final[Version] = (3, 48)
TIME_FILTERS: Final[Version] = (3, 60)
CLUSTER: Final[Version] = (3, 61)
TYPE_ID: Final[Version] = (3, 63)
ENCRYPTION_KEY: Final[Version] = (3, 64)
CONSUMES_QUOTA: Final[Version] = (3, 65)
SHARED_TRISTATE: Final[Version] = (3, 69)
