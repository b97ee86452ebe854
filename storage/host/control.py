"""How does the daemon talk to a volume server? Over a unix socket: one JSON object a line, one answer a line.

{"do": "status"}   {"do": "look"}   {"do": "export"}   {"do": "unexport"}   {"do": "freeze"}   {"do": "thaw"}
{"do": "stop"}     {"do": "scrub", "begun_ms": "1764334800000", "extent": "0"}
"""

import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from noded.core.unreadable import UNREADABLE
from storage.host.event_log import note
from storage.host.loop import Loop
from storage.host.nbd_server import private_listener

LINE_BYTES_MAX: Final = 4096

# What is asked beside the verb, which most verbs need nothing of.
Command = Callable[[Mapping[str, str]], Mapping[str, Any]]


class ControlServer:
    """Answers the daemon. A command that raises OSError or ValueError is answered with its words."""

    def __init__(self, loop: Loop, path: Path, commands: Mapping[str, Command]) -> None:
        self._loop = loop
        self._commands = commands
        self._listener = private_listener(path)
        self._lines: dict[int, bytearray] = {}
        loop.add(self._listener.fileno(), self._accept)

    def _accept(self, _events: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            note("no control connection taken", reason=str(error))
            return
        sock.setblocking(False)
        self._lines[sock.fileno()] = bytearray()
        self._loop.add(sock.fileno(), partial(self._handle, sock))

    def _handle(self, sock: socket.socket, _events: int) -> None:
        line = self._lines[sock.fileno()]
        try:
            piece = sock.recv(LINE_BYTES_MAX)
            line += piece
            if piece and len(line) <= LINE_BYTES_MAX:
                while (end := line.find(b"\n")) >= 0:
                    asked = bytes(line[:end])
                    del line[: end + 1]
                    sock.sendall(msgspec.json.encode(self._answer(asked)) + b"\n")
                return
        except OSError as error:
            note("control connection ended", reason=str(error))
        del self._lines[sock.fileno()]
        self._loop.remove(sock.fileno())
        sock.close()

    def _answer(self, asked: bytes) -> Mapping[str, Any]:
        try:
            words = msgspec.json.decode(asked, type=dict[str, str])
        except UNREADABLE as error:
            return {"error": f"not a command: {error}"}
        word = words.get("do", "")
        command = self._commands.get(word)
        if command is None:
            return {"error": f"no command {word!r}; there are {', '.join(self._commands)}"}
        try:
            return command(words)
        except (OSError, ValueError) as error:
            return {"error": f"{word}: {error}"}
