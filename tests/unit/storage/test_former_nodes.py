"""An extent server has no store: a file tells it who is no member any more, and it refuses who shows such a key."""

import socket
import ssl
import threading
from pathlib import Path

from consensus.naming import gone_file, node_name
from storage.host.tls import NodeTls
from tests.twins.keys import Keys


def test_who_is_in_the_list_is_recognised_by_its_key(tmp_path: Path) -> None:
    keys = Keys()
    here, there = tmp_path / "here", tmp_path / "there"
    own = keys.admit(here)
    other = keys.admit(there)
    server = NodeTls(here)
    near, far = socket.socketpair()

    def dial() -> None:
        NodeTls(there).client().wrap_socket(far, server_hostname=node_name(own)).close()

    dialing = threading.Thread(target=dial)
    dialing.start()
    with server.server().wrap_socket(near, server_side=True) as connection:
        assert isinstance(connection, ssl.SSLSocket)
        certificate = connection.getpeercert(True)
        assert server.gone_since() is None
        assert not server.is_gone(certificate)
        gone_file(here).write_text(f"{own}\n")
        assert not server.is_gone(certificate)
        gone_file(here).write_text(f"{own}\n{other}\n")
        assert server.is_gone(certificate)
        assert server.gone_since() is not None
    dialing.join(10)
