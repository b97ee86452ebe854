"""The smallest guest: 512 bytes that talk, read their disk, and obey the power button. Assembled here, by hand.

up:    write "up\n" to the serial port, enable the power button's event
tick:  wait for the timer (18 times a second), read the first sector, let go of what it is asked to, write ".";
       until the button is pressed
off:   power off
"""

COM1 = 0x3F8
PM_STATUS, PM_ENABLE, PM_CONTROL = 0x600, 0x602, 0x604  # ACPI's power management registers, as QEMU's `pc` has them
BUTTON = 0x0100
SLEEP_S5 = 0x2000
PCI_DOWN, PCI_EJECT = 0xAE04, 0xAE08  # which slots are asked back; the slot that is let go of


def _say(text: bytes) -> bytes:
    return b"".join(_dx(COM1) + bytes((0xB0, byte, 0xEE)) for byte in text)  # mov al, byte; out dx, al


def _dx(port: int) -> bytes:
    return b"\xba" + port.to_bytes(2, "little")  # mov dx, port


def _out(port: int, value: int) -> bytes:
    return _dx(port) + b"\xb8" + value.to_bytes(2, "little") + b"\xef"  # mov ax, value; out dx, ax


def boot_sector(*, ends_itself: bool = False, lets_go: bool = True) -> bytes:
    """A bootable disk of one mebibyte."""
    up = bytes.fromhex("31c0 8ed8 8ec0 8ed0 bc007c")  # ax = ds = es = ss = 0; sp = 0x7c00
    up += _say(b"up\n") + _out(PM_ENABLE, BUTTON)
    off = _out(PM_CONTROL, SLEEP_S5) + bytes.fromhex("f4 ebfd")  # hlt; jmp back to it
    tick = bytes.fromhex("fb f4")  # sti; hlt
    tick += bytes.fromhex("b80102 b90100 ba8000 bb0080 cd13")  # int 13h: read sector 1 of disk 80h to 0x8000
    if lets_go:
        tick += _dx(PCI_DOWN) + b"\x66\xed" + _dx(PCI_EJECT) + b"\x66\xef"  # in eax, dx; out dx, eax
    tick += _say(b".") + _dx(PM_STATUS) + bytes.fromhex("ed f6c401")  # in ax, dx; test ah, 1
    tick += bytes((0x74, 256 - len(tick) - 2))  # jz tick
    code = up + (b"" if ends_itself else tick) + off
    assert len(code) <= 440
    return (code.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0")
