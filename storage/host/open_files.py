"""How many files may a process of ours have open? More than the soft limit, which is for programs that use select."""

import resource
from typing import Final

# Connections, listeners, the journal and whatever the libraries need.
OTHERS_MAX: Final = 700
FILES_A_EXTENT: Final = 2


def allow_many_files() -> None:
    """Raise the soft limit to the hard one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def open_extents_max() -> int:
    """How many extents may be open beside all else; a few at any rate."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(64, (limit - OTHERS_MAX) // FILES_A_EXTENT) if limit != resource.RLIM_INFINITY else 1 << 20
