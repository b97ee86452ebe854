"""How is a file system taken away that a process of ours mounted, also one that was killed?"""

import ctypes
import errno
import os
import subprocess
from pathlib import Path
from typing import Final

_MNT_DETACH: Final = 2
_libc = ctypes.CDLL(None, use_errno=True)


def unmount(directory: Path) -> None:
    """Take away what is mounted there, also what a killed process left."""
    if os.path.ismount(directory) or is_stale(directory):
        subprocess.run(["umount", "--lazy", str(directory)], check=False, capture_output=True)


def detach(directory: Path) -> None:
    """Take away what this process mounted there, from the thread that answers for it: so nothing may be asked of it.

    Whoever has a file of it open keeps it until closing. Raises OSError, but not if nothing is mounted there.
    """
    if _libc.umount2(os.fsencode(directory), _MNT_DETACH) != 0:
        error = ctypes.get_errno()
        if error not in {errno.EINVAL, errno.ENOENT}:
            raise OSError(error, f"unmounting {directory}: {os.strerror(error)}")


def is_stale(directory: Path) -> bool:
    """A mount whose process was killed: the kernel knows it, and answers ENOTCONN."""
    try:
        directory.stat()
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False
