"""A metadata service for one HTTP request on standard input, as QEMU's user network starts it for each connection."""

import json
import sys
from pathlib import Path


def main() -> None:
    directory = Path(sys.argv[1])
    request = sys.stdin.readline().split()
    name = request[1].rpartition("/")[2] if len(request) > 1 else ""
    body = {
        "meta_data.json": json.dumps(
            {
                "uuid": "11111111-2222-3333-4444-555555555555",
                "hostname": "first.novalocal",
                "public_keys": {"mine": (directory / "key.pub").read_text()},
                "meta": {"note": 'a "quoted" word'},
            }
        ),
        "user_data": (directory / "user_data").read_text(),
    }.get(name)
    status = "404 Not Found" if body is None else "200 OK"
    sys.stdout.write(f"HTTP/1.0 {status}\r\nContent-Length: {len(body or '')}\r\n\r\n{body or ''}")


if __name__ == "__main__":
    main()
