"""How is a file system taken away that a process of ours mounted, also one that was killed?"""

import errno
import os
import subprocess
from pathlib import Path


def unmount(directory: Path) -> None:
    """Take away what is mounted there, also what a killed process left."""
    if os.path.ismount(directory) or is_stale(directory):
        subprocess.run(["umount", "--lazy", str(directory)], check=False, capture_output=True)


def is_stale(directory: Path) -> bool:
    """A mount whose process was killed: the kernel knows it, and answers ENOTCONN."""
    try:
        directory.stat()
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False
