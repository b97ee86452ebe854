"""Does KVM work here? A file in /dev proves nothing: some machines offer it and then hang. A guest is let run.

The guest is a ROM whose first instructions, at the processor's reset vector, write to QEMU's exit device. QEMU then
ends with a status that nothing else gives; without working KVM it refuses to start, or never gets there in time.
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
ROM_BYTES = 1 << 16
RESET_VECTOR = 0xFFF0

_HALT = 0xF4
_CODE = bytes(
    (
        *(0xB0, EXIT_VALUE),  # mov al, EXIT_VALUE
        *(0xBA, EXIT_PORT & 0xFF, EXIT_PORT >> 8),  # mov dx, EXIT_PORT
        0xEE,  # out dx, al
        _HALT,
        *(0xEB, 0xFD),  # jmp to the halt
    )
)


def probe_rom() -> bytes:
    """64 KiB that end at the top of the first mebibyte, where the processor starts."""
    rom = bytearray([_HALT]) * ROM_BYTES
    rom[RESET_VECTOR : RESET_VECTOR + len(_CODE)] = _CODE
    return bytes(rom)


async def guest_runs(accelerator: str, *, timeout_s: float = PROBE_S_MAX) -> bool:
    """Whether a guest reaches its first instructions under QEMU's `accelerator` ("kvm", "tcg") in time."""
    with tempfile.TemporaryDirectory(prefix="noded-probe-") as directory:
        rom = Path(directory) / "rom"
        rom.write_bytes(probe_rom())
        status = await _status(_command(accelerator, rom), timeout_s)
    log.info("accelerator probed", accelerator=accelerator, works=status == EXIT_STATUS, status=status)
    return status == EXIT_STATUS


def _command(accelerator: str, rom: Path) -> list[str]:
    return [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"),
        *("-machine", "pc", "-accel", accelerator, "-m", "2", "-bios", str(rom)),
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
