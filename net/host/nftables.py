"""How the filter is loaded into the kernel: libnftables by ctypes, a whole ruleset at one stroke.

Blocking: called in a thread, one call at a time. A call of the `nft` program would cost 5 to 14 ms more.
"""

import ctypes
import re

from net.dataplane.model import Rules
from net.dataplane.rules import TABLE
from net.links import DataplaneFault

_LIBRARY = "libnftables.so.1"
_DIGEST = re.compile(r"chain digest_([0-9a-f]+)")
_FAULT_CHARS_MAX = 2000


class Nftables:
    """One context of the library."""

    def __init__(self) -> None:
        """Raises `OSError` when the library is not installed."""
        self._library = library = ctypes.CDLL(_LIBRARY)
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, name).restype = ctypes.c_char_p
        for name in (
            "nft_ctx_buffer_output",
            "nft_ctx_buffer_error",
            "nft_ctx_get_output_buffer",
            "nft_ctx_get_error_buffer",
        ):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        self._context = library.nft_ctx_new(0)
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)

    def run(self, commands: str) -> str:
        """Carry out all commands or none; what they print. Raises `DataplaneFault`."""
        code = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        output: bytes = self._library.nft_ctx_get_output_buffer(self._context)
        fault: bytes = self._library.nft_ctx_get_error_buffer(self._context)
        if code != 0:
            raise DataplaneFault(f"nftables: {fault.decode(errors='replace')[:_FAULT_CHARS_MAX]}")
        return output.decode(errors="replace")

    def load(self, rules: Rules) -> None:
        """Replace the whole filter."""
        self.run(rules.text)

    def digest(self) -> str:
        """Which filter is in force; empty if none is, or not wholly."""
        found = {self._digest_of(family) for family in ("bridge", "inet")}
        return found.pop() if len(found) == 1 else ""

    def _digest_of(self, family: str) -> str:
        tables = self.run(f"list tables {family}").splitlines()
        if f"table {family} {TABLE}" not in tables:
            return ""
        match = _DIGEST.search(self.run(f"list chains {family}"))
        return match[1] if match else ""
