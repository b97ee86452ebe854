"""Does KVM work here? A file in /dev proves nothing: some machines offer it and then hang. A guest is let run.

The guest is a boot sector. When the firmware has come as far as to start it, it writes to QEMU's exit device, and QEMU
ends with a status that nothing else gives. A machine without working KVM refuses to start it, or never gets there in
time. It gets the processor that real guests get, since that is what fails on machines that nest virtual machines badly.
"""

import tempfile
from pathlib import Path

import structlog
import trio

log = structlog.get_logger(__name__)

PROBE_S_MAX = 3.0
EXIT_VALUE = 0x2A
EXIT_STATUS = EXIT_VALUE << 1 | 1  # what isa-debug-exit makes of the value
EXIT_PORT = 0x501
GUEST_CPUS = {"kvm": "host", "tcg": "max"}  # what `domain.py` gives real guests

_CODE = bytes(
    (
        *(0xB0, EXIT_VALUE),  # mov al, EXIT_VALUE
        *(0xBA, EXIT_PORT & 0xFF, EXIT_PORT >> 8),  # mov dx, EXIT_PORT
        0xEE,  # out dx, al
        0xF4,  # hlt
        *(0xEB, 0xFD),  # jmp to the halt
    )
)


def probe_disk() -> bytes:
    """A disk whose first sector is the guest."""
    return (_CODE.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 16, b"\0")


async def guest_runs(accelerator: str, *, timeout_s: float = PROBE_S_MAX) -> bool:
    """Whether a guest comes to its first instructions under QEMU's `accelerator` ("kvm", "tcg") in time."""
    with tempfile.TemporaryDirectory(prefix="noded-probe-") as directory:
        disk = Path(directory) / "disk"
        disk.write_bytes(probe_disk())
        status = await _status(_command(accelerator, disk), timeout_s)
    log.info("accelerator probed", accelerator=accelerator, works=status == EXIT_STATUS, status=status)
    return status == EXIT_STATUS


def _command(accelerator: str, disk: Path) -> list[str]:
    return [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-m", "16"),
        *("-accel", accelerator, "-cpu", GUEST_CPUS[accelerator]),
        *("-drive", f"file={disk},format=raw,if=ide", "-boot", "c"),
        *("-device", f"isa-debug-exit,iobase={EXIT_PORT:#x},iosize=1"),
    ]


async def _status(command: list[str], timeout_s: float) -> int | None:
    try:
        with trio.move_on_after(timeout_s):
            done = await trio.run_process(
                command, check=False, capture_stdout=True, capture_stderr=True, deliver_cancel=_kill
            )
            return done.returncode
    except OSError as fault:
        log.warning("QEMU can't be started", why=str(fault))
    return None


async def _kill(process: trio.Process) -> None:
    process.kill()  # a hung KVM does not listen to anything gentler
