"""A program that has the volume open as a file: `python -m tests.faults.block.file_guest PATH`.

Requests come on standard input, answers go to standard output. It is a process of its own because whoever waits for a
file of a server that hangs can't even be killed.
"""

import os
import struct
import sys
from typing import BinaryIO, Final

REQUEST: Final = struct.Struct("<BQI")  # writes or reads, offset, length; then the bytes to be written
ANSWER: Final = struct.Struct("<II")  # errno, length; then the bytes that were read


def serve(file: int, asked: BinaryIO, answered: BinaryIO) -> None:
    """Answer until the other side has gone."""
    while len(head := asked.read(REQUEST.size)) == REQUEST.size:
        writes, offset, length = REQUEST.unpack(head)
        error, content = 0, b""
        try:
            if writes:
                os.pwrite(file, asked.read(length), offset)
            else:
                content = os.pread(file, length, offset)
        except OSError as fault:
            error = fault.errno or 1
        answered.write(ANSWER.pack(error, len(content)) + content)
        answered.flush()


if __name__ == "__main__":
    serve(os.open(sys.argv[1], os.O_RDWR), sys.stdin.buffer, sys.stdout.buffer)
