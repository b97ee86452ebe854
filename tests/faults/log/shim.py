"""How does a test tell a node's process lies about its disk and its clock? It writes a file that `shim.c` maps."""

import contextlib
import mmap
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.lab.commands import call

SOURCE = Path(__file__).with_name("shim.c")
_LAYOUT = struct.Struct("=6q")  # as in shim.c


def build(directory: Path) -> Path:
    """Compile the library into `directory`."""
    library = directory / "shim.so"
    call("gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl")
    return library


class Lies:
    """What one node is told. None after construction; they outlive its process, until they are taken back."""

    def __init__(self, library: Path, control: Path, disk: Path) -> None:
        control.write_bytes(bytes(_LAYOUT.size))
        self.environment = {"LD_PRELOAD": str(library), "FAULT_CONTROL": str(control), "FAULT_DISK": str(disk)}
        with control.open("r+b") as file:
            self._told = mmap.mmap(file.fileno(), _LAYOUT.size)

    @contextlib.contextmanager
    def tell(
        self,
        *,
        write_errno: int = 0,
        sync_errno: int = 0,
        sync_delay_s: float = 0.0,
        clock_offset_s: int = 0,
        read_errno: int = 0,
        syncs_to_live: int = 0,
    ) -> Iterator[None]:
        """Lie for the length of the block. Who has so many syncs to live dies in the last of them, half done."""
        delay_ns = int(sync_delay_s * 1e9)
        _LAYOUT.pack_into(self._told, 0, write_errno, sync_errno, delay_ns, clock_offset_s, read_errno, syncs_to_live)
        try:
            yield
        finally:
            _LAYOUT.pack_into(self._told, 0, 0, 0, 0, 0, 0, 0)


def check(library: Path, directory: Path) -> None:
    """Fail unless the lies are believed here: a fault that is not injected would prove nothing."""
    lies = Lies(library, directory / "check", directory)
    program = (
        "import os, sys, time\n"
        "file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)\n"
        "for act in (lambda: os.write(file, b'12'), lambda: os.fdatasync(file)):\n"
        "    try: act()\n"
        "    except OSError as error: print(error.errno, end=' ')\n"
        "print(int(time.time()))\n"
    )
    with lies.tell(write_errno=5, sync_errno=28, clock_offset_s=-3600):
        said = subprocess.run(
            ["python3", "-c", program, directory / "checked"],
            env=os.environ | lies.environment, capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
    assert said[:2] == ["5", "28"], f"disks do not fail on demand here: {said}"
    assert abs(int(said[2]) + 3600 - time_now()) < 600, f"clocks do not jump on demand here: {said}"
    program = (
        "import os, sys\n"
        "file = os.open(sys.argv[1], os.O_WRONLY | os.O_DSYNC)\n"
        "for act in (lambda: os.pwrite(file, b'1', 0), lambda: os.pwritev(file, [b'1'], 0)):\n"
        "    try: act()\n"
        "    except OSError as error: print(error.errno)\n"
    )
    with lies.tell(sync_errno=28):
        said = subprocess.run(
            ["python3", "-c", program, directory / "checked"],
            env=os.environ | lies.environment, capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
    assert said == ["28", "28"], f"durable writes do not fail on demand here: {said}"


def time_now() -> float:
    """The machine's own time."""
    return os.stat("/proc/self").st_mtime
